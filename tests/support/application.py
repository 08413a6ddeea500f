"""A model of the application while its tenants move, as a process of its own: boto3 and psycopg, nothing of rehouse.

It does what an application must do, and judges every read itself. A body is `document id, version, padding`; the version
that a writer committed last is in the row. Readers take the pointer and the version from the row, then GET: the body must
be that document's, in that version or a newer one. Writers write under a new key and then update the row, or in place while
they hold the row's lock; others insert and delete. It runs until its standard input is closed, then prints what it saw as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import threading
import traceback
import uuid
from collections import Counter
from typing import Any

import boto3
import psycopg
from botocore.config import Config

SHARED = os.environ.get("APPLICATION_SHARED_BUCKET", "")
POINTER = "SELECT coalesce(s3_bucket, %s), s3_key, (analysis->>'version')::int FROM documents WHERE id = %s"
READERS, REPLACERS, OVERWRITERS, CREATORS = 3, 1, 2, 1

_ending = threading.Event()
_seen: Counter[str] = Counter()
_wrong: list[str] = []


def body(document_id: str, version: int) -> bytes:
    """Return the bytes of a document in a version; the length differs from version to version."""
    return f"{document_id}\n{version}\n".encode() + b"." * (version * 7 % 50)


class Person:
    """Somebody who works with documents over a connection and a client of their own."""

    def __init__(self, seed: int, slugs: list[str]) -> None:
        self.chance = random.Random(seed)
        self.seed = seed
        self.slugs = slugs
        self.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        self.s3: Any = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], config=config)

    def some_document(self) -> str | None:
        """Return the id of any document of these tenants."""
        rows = self.connection.execute(
            "SELECT d.id FROM documents d JOIN tenants t ON t.id = d.tenant_id WHERE t.slug = ANY(%s)", (self.slugs,)
        ).fetchall()
        return self.chance.choice(rows)[0] if rows else None

    def read(self) -> None:
        """Read a document as a download does."""
        document_id = self.some_document()
        row = self.connection.execute(POINTER, (SHARED, document_id)).fetchone()
        if row is None:
            return
        bucket, key, version = row
        found_id, found_version, _ = self.s3.get_object(Bucket=bucket, Key=key)["Body"].read().split(b"\n", 2)
        if found_id.decode() != document_id:
            _wrong.append(f"{document_id} v{version}: {bucket}/{key} is {found_id!r}")
        if int(found_version) < version:
            _wrong.append(f"{document_id}: {bucket}/{key} holds v{int(found_version)}, v{version} was committed")
        _seen["reads"] += 1
        _seen["reads at home"] += bucket != SHARED

    def overwrite(self) -> None:
        """Write a new version in place, under the row's lock from reading the pointer to the commit."""
        document_id = self.some_document()
        with self.connection.transaction():
            row = self.connection.execute(POINTER + " FOR UPDATE", (SHARED, document_id)).fetchone()
            if row is None:
                return
            bucket, key, version = row
            etag = self.s3.put_object(Bucket=bucket, Key=key, Body=body(str(document_id), version + 1))["ETag"]
            self._say(str(document_id), version + 1, etag)
        _seen["overwrites"] += 1
        _seen["overwrites at home"] += bucket != SHARED

    def replace(self) -> None:
        """Write a new version under a new key in the tenant's home, then update the row."""
        document_id = self.some_document()
        row = self.connection.execute(
            "SELECT coalesce(t.aws_bucket_name, %s) FROM documents d JOIN tenants t ON t.id = d.tenant_id WHERE d.id = %s",
            (SHARED, document_id),
        ).fetchone()
        if row is None:
            return
        bucket, key = row[0], f"uploads/{uuid.UUID(int=self.chance.getrandbits(128))}"
        with self.connection.transaction():
            locked = self.connection.execute(POINTER + " FOR UPDATE", (SHARED, document_id)).fetchone()
            if locked is None:
                return
            etag = self.s3.put_object(Bucket=bucket, Key=key, Body=body(str(document_id), locked[2] + 1))["ETag"]
            self.connection.execute(
                "UPDATE documents SET s3_bucket = %s, s3_key = %s WHERE id = %s", (bucket, key, document_id)
            )
            self._say(str(document_id), locked[2] + 1, etag)
        _seen["replacements"] += 1

    def create_and_delete(self) -> None:
        """Upload a new document; now and then delete one."""
        slug, document_id = self.chance.choice(self.slugs), str(uuid.UUID(int=self.chance.getrandbits(128)))
        tenant = self.connection.execute(
            "SELECT id, coalesce(aws_bucket_name, %s) FROM tenants WHERE slug = %s", (SHARED, slug)
        ).fetchone()
        assert tenant is not None
        bucket, key = tenant[1], f"documents/{document_id}/new.txt"
        etag = self.s3.put_object(Bucket=bucket, Key=key, Body=body(document_id, 1))["ETag"]
        self.connection.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, etag, analysis) "
            "VALUES (%s, %s, 'new.txt', 'new.txt', %s, %s, 1, %s, '{\"version\": 1}')",
            (document_id, tenant[0], bucket, key, etag),
        )
        _seen["uploads"] += 1
        if self.chance.random() < 0.5:
            self.connection.execute("DELETE FROM documents WHERE id = %s", (self.some_document(),))
            _seen["deletions"] += 1

    def _say(self, document_id: str, version: int, etag: str) -> None:
        self.connection.execute(
            "UPDATE documents SET analysis = jsonb_build_object('version', %s::int), etag = %s WHERE id = %s",
            (version, etag, document_id),
        )


def work(person: Person, deed: str, pause_seconds: float) -> None:
    """Do one thing again and again; whatever fails is written down."""
    while not _ending.wait(pause_seconds):
        try:
            getattr(person, deed)()
        except Exception:  # noqa: BLE001 - the model judges every failure, whatever it is
            _wrong.append(f"{deed}: {traceback.format_exc(limit=-3)}")


def main() -> None:
    """Run until standard input is closed."""
    slugs = sys.argv[1:]
    numbers = itertools.count(1)
    crew = [("read", 0.0)] * READERS + [("overwrite", 0.01)] * OVERWRITERS
    crew += [("replace", 0.02)] * REPLACERS + [("create_and_delete", 0.03)] * CREATORS
    threads = [threading.Thread(target=work, args=(Person(next(numbers), slugs), *each)) for each in crew]
    for each in threads:
        each.start()
    print("working", flush=True)
    sys.stdin.read()
    _ending.set()
    for each in threads:
        each.join()
    print(json.dumps({"seen": _seen, "wrong": _wrong[:20], "wrongs": len(_wrong)}))


if __name__ == "__main__":
    main()
