"""The people of the model application: what each of them does with documents, by the rules that an application must keep.

boto3 and psycopg, nothing of rehouse. A body is `document id, version, slug, token, padding`; the version that was committed
last is in the row. Documents marked `late` are also written without the row's lock, and each of their writes is kept in a journal.
"""

from __future__ import annotations

import os
import random
import time
import urllib.request
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import boto3
import psycopg
from botocore.config import Config
from tests.support.closing_questions import Write

ROW = (
    "SELECT d.id, coalesce(nullif(d.s3_bucket, ''), %(shared)s), d.s3_key, (d.analysis->>'version')::int, t.slug, t.id, "
    "coalesce(t.aws_bucket_name, %(shared)s) FROM documents d JOIN tenants t ON t.id = d.tenant_id WHERE d.id = %(id)s"
)
CHANGE = (
    "UPDATE documents SET analysis = analysis || jsonb_build_object('version', %(version)s::int), etag = %(etag)s, "
    "size = %(size)s, file_size = %(size)s"
)
PLACE = ", s3_bucket = %(bucket)s, s3_key = %(key)s"
INSERT = (
    "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, file_size, etag, analysis) "
    "VALUES (%(id)s, %(tenant)s, 'new.txt', 'new.txt', %(bucket)s, %(key)s, %(size)s, %(size)s, %(etag)s, "
    "jsonb_build_object('version', %(version)s::int))"
)
REFRESHED_EVERY = 40
UPLOADS = "up/"
"""Where new objects of the application are; one that a row leaves stays there."""


def body(document_id: str, version: int, slug: str, token: str) -> bytes:
    """Return the bytes of a document in a version; the length differs from version to version."""
    return f"{document_id}\n{version}\n{slug}\n{token}\n".encode() + b"." * (version * 7 % 50)


@dataclass(frozen=True)
class Told:
    """What the application is told. `grace_seconds`: nothing that was read is used later than this; `limit_seconds` is what
    the other side counts on, so what a busy machine delayed beyond it is not judged.
    """

    shared: str
    slugs: list[str]
    roles: dict[str, int]
    seed: int
    documents: int
    grace_seconds: float
    limit_seconds: float


@dataclass
class Notes:
    """What one person saw. `first_seen`: token → when a read through the row showed it first."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    journal: list[Write] = field(default_factory=list)
    first_seen: dict[str, float] = field(default_factory=dict)

    def said(self) -> dict[str, Any]:
        """Return it for JSON."""
        journal = [asdict(write) for write in self.journal]
        return {"seen": dict(self.seen), "wrong": self.wrong, "journal": journal, "first_seen": self.first_seen}


@dataclass(frozen=True)
class Row:
    """A document's row, and when it was read."""

    document_id: str
    bucket: str
    key: str
    version: int
    slug: str
    tenant_id: int
    home: str
    read_at: float


class Person:
    """Somebody who works with documents over a connection and a client of their own."""

    def __init__(self, seed: int, told: Told) -> None:
        self.chance = random.Random(seed)
        self.told = told
        self.notes = Notes()
        self.connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        self.s3: Any = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"], config=config)
        self._picked = 0
        self._ids: dict[bool, list[str]] = {}
        self._homes: dict[str, tuple[int, str, float]] = {}

    def ids(self, *, late: bool) -> list[str]:
        """Return the ids of the documents of one kind, as they were a few looks ago."""
        self._picked += 1
        if self._picked % REFRESHED_EVERY == 1:
            self._ids = {True: [], False: []}
            for document_id, is_late in self.connection.execute("SELECT id, analysis ? 'late' FROM documents"):
                self._ids[is_late].append(document_id)
        return self._ids[late]

    def some(self, *, late: bool | None = None) -> str:
        """Return the id of some document that may be gone by now."""
        ids = self.ids(late=self.chance.random() < 0.3 if late is None else late)
        return self.chance.choice(ids or self._ids[False] or [""])

    def row(self, document_id: str) -> Row | None:
        """Return the row as it is now; None if it is gone."""
        read_at = time.monotonic()
        found = self.connection.execute(ROW, {"shared": self.told.shared, "id": document_id}).fetchone()
        return Row(*found, read_at=read_at) if found else None

    def locked(self, document_id: str) -> Row | None:
        """Lock the row, then read it; None if it is gone or its upload has not arrived yet."""
        self.connection.execute("SELECT 1 FROM documents WHERE id = %s FOR UPDATE", (document_id,))
        row = self.row(document_id)
        return row if row and row.version else None

    def home(self, slug: str) -> tuple[int, str]:
        """Return the tenant's id and where its uploads go: now and then as it was remembered, within the grace."""
        known = self._homes.get(slug)
        if known and self.is_usable(known[2]) and self.chance.random() < 0.5:
            self.notes.seen["homes from memory"] += 1
            return known[:2]
        read_at = time.monotonic()
        query = "SELECT id, coalesce(aws_bucket_name, %s) FROM tenants WHERE slug = %s"
        found = self.connection.execute(query, (self.told.shared, slug)).fetchone()
        assert found
        self._homes[slug] = (*found, read_at)
        return found

    def is_usable(self, read_at: float) -> bool:
        """Return whether what was read then may be used still."""
        return time.monotonic() - read_at < self.told.grace_seconds

    def new_key(self) -> str:
        """Return a key that nothing has."""
        return f"{UPLOADS}{uuid.UUID(int=self.chance.getrandbits(128))}"

    def put(self, bucket: str, key: str, row: Row, version: int, kind: str = "") -> tuple[bytes, str, Write]:
        """Upload a version of the document; return its bytes, its ETag and what the journal says."""
        token = f"{kind}-{uuid.UUID(int=self.chance.getrandbits(128))}"
        data, begin = body(row.document_id, version, row.slug, token), time.monotonic()
        etag = self.s3.put_object(Bucket=bucket, Key=key, Body=data)["ETag"]
        made = Write(row.document_id, token, bucket, key, kind, row.read_at, begin, time.monotonic())
        return data, etag, made

    def change(self, row: Row, version: int, data: bytes, etag: str, place: tuple[str, str] | None = None) -> bool:
        """Write into the row what was uploaded, if the row is still of this version and tenant; return whether it was."""
        values = {"version": version, "etag": etag, "size": len(data), "id": row.document_id, "tenant": row.tenant_id}
        values |= {"was": row.version} | dict(zip(("bucket", "key"), place or (), strict=False))
        where = " WHERE id = %(id)s AND tenant_id = %(tenant)s AND (analysis->>'version')::int = %(was)s"
        return self.connection.execute(CHANGE + (PLACE if place else "") + where, values).rowcount == 1

    # What is allowed at any time, and no read may notice.

    def upload(self) -> None:
        """Upload a new document, some without a bucket in their row."""
        slug, key = self.chance.choice(self.told.slugs), self.new_key()
        tenant, bucket = self.home(slug)
        row = Row(str(uuid.UUID(int=self.chance.getrandbits(128))), bucket, key, 1, slug, tenant, bucket, 0)
        data, etag, _ = self.put(bucket, key, row, 1)
        is_null = bucket == self.told.shared and self.chance.random() < 0.5
        self._insert(row, 1, len(data), etag, None if is_null else bucket)
        self.notes.seen["uploads without a bucket" if is_null else "uploads"] += 1
        self.notes.seen["uploads at home"] += bucket != self.told.shared

    def _insert(self, row: Row, version: int, size: int, etag: str | None, bucket: str | None) -> None:
        values = {"id": row.document_id, "tenant": row.tenant_id, "bucket": bucket, "key": row.key, "size": size}
        self.connection.execute(INSERT, values | {"etag": etag, "version": version})

    def upload_pending(self) -> None:
        """Insert the row first; the object arrives a while later, and then the row says so."""
        slug, document_id = self.chance.choice(self.told.slugs), str(uuid.UUID(int=self.chance.getrandbits(128)))
        tenant, bucket = self.home(slug)
        row = Row(document_id, bucket, self.new_key(), 0, slug, tenant, bucket, time.monotonic())
        self._insert(row, 0, 0, None, bucket)
        time.sleep(self.chance.uniform(0, self.told.grace_seconds * 0.7))
        if not self.is_usable(row.read_at):
            return
        data, etag, _ = self.put(bucket, row.key, row, 1)
        with self.connection.transaction():
            self.connection.execute("SELECT 1 FROM documents WHERE id = %s FOR UPDATE", (document_id,))
            assert self.change(row, 1, data, etag), f"{document_id}: somebody touched a row whose upload was under way"
        self.notes.seen["pending uploads"] += 1

    def overwrite(self) -> None:
        """Write a new version in place, under the row's lock from reading the pointer to the commit."""
        with self.connection.transaction():
            row = self.locked(self.some(late=self.chance.random() < 0.05))
            if row is None:
                return
            data, etag, made = self.put(row.bucket, row.key, row, row.version + 1, "overwrite")
            assert self.change(row, row.version + 1, data, etag)
        self.notes.journal.append(made)
        self.notes.seen["overwrites"] += 1
        self.notes.seen["overwrites at home"] += row.bucket != self.told.shared

    def replace(self) -> None:
        """Write a new version under a new key, then update the row if it is still as it was read."""
        row = self.row(self.some(late=self.chance.random() < 0.03))
        if row is None or not row.version:
            return
        _, bucket = self.home(row.slug)
        key = self.new_key()
        data, etag, made = self.put(bucket, key, row, row.version + 1, "replace")
        if self.is_usable(row.read_at) and self.change(row, row.version + 1, data, etag, (bucket, key)):
            self.notes.journal.append(made.ended(time.monotonic()))
            self.notes.seen["replacements"] += 1

    def rename(self) -> None:
        """Move the document to another key in its tenant's home."""
        with self.connection.transaction():
            row = self.locked(self.some(late=False))
            if row is None:
                return
            key, source = self.new_key(), {"Bucket": row.bucket, "Key": row.key}
            self.s3.copy_object(Bucket=row.home, Key=key, CopySource=source)
            values = {"bucket": row.home, "key": key, "id": row.document_id}
            self.connection.execute(
                "UPDATE documents SET s3_bucket = %(bucket)s, s3_key = %(key)s WHERE id = %(id)s", values
            )
        self.notes.seen["renamed"] += 1

    def give(self) -> None:
        """Move the document to another tenant: a copy in that tenant's bucket under a new key, then the row."""
        with self.connection.transaction():
            row = self.locked(self.some(late=False))
            if row is None:
                return
            slug = self.chance.choice([slug for slug in self.told.slugs if slug != row.slug])
            tenant, bucket = self.home(slug)
            theirs = Row(row.document_id, bucket, self.new_key(), row.version, slug, tenant, bucket, row.read_at)
            data, etag, _ = self.put(bucket, theirs.key, theirs, row.version)
            assert self.change(row, row.version, data, etag, (bucket, theirs.key))
            self.connection.execute("UPDATE documents SET tenant_id = %s WHERE id = %s", (tenant, row.document_id))
        self.notes.seen["given to another tenant"] += 1

    def delete(self) -> None:
        """Delete a row while there are more than in the beginning; the object stays."""
        ids = self.ids(late=False)
        if len(ids) > self.told.documents:
            query = "DELETE FROM documents WHERE id = %s AND analysis->>'version' <> '0'"
            self.notes.seen["deletions"] += self.connection.execute(query, (self.chance.choice(ids),)).rowcount

    # What may become visible late, or be told as a conflict, but is never lost.

    def write_late(self) -> None:
        """Overwrite without the lock: the pointer was read a while ago, the row is told of it afterwards."""
        row = self._held()
        if row:
            data, etag, made = self.put(row.bucket, row.key, row, row.version, "late")
            self._noted(made)
            query = "UPDATE documents SET etag = %s, size = %s, file_size = %s WHERE id = %s"
            self.connection.execute(query, (etag, len(data), len(data), row.document_id))

    def upload_presigned(self) -> None:
        """Upload to a URL that was granted a while ago; nobody tells the row."""
        row = self.row(self.some(late=True))
        if row is None:
            return
        granted = self.s3.generate_presigned_url("put_object", Params={"Bucket": row.bucket, "Key": row.key})
        time.sleep(self.chance.uniform(0, self.told.grace_seconds))
        if self.is_usable(row.read_at):
            token = f"presigned-{uuid.UUID(int=self.chance.getrandbits(128))}"
            data, begin = body(row.document_id, row.version, row.slug, token), time.monotonic()
            with urllib.request.urlopen(urllib.request.Request(granted, data, method="PUT")):
                ended = time.monotonic()
            self._noted(Write(row.document_id, token, row.bucket, row.key, "presigned", row.read_at, begin, ended))

    def _held(self) -> Row | None:
        row = self.row(self.some(late=True))
        time.sleep(self.chance.uniform(0, self.told.grace_seconds))
        return row if row and self.is_usable(row.read_at) else None

    def _noted(self, made: Write) -> None:
        now = self.row(made.document_id)
        made = made.late(is_late=now is not None and (now.bucket, now.key) != (made.bucket, made.key))
        self.notes.journal.append(made)
        self.notes.seen[f"{made.kind} writes"] += 1
        self.notes.seen["writes where the document was no more"] += made.is_late
