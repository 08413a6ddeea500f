"""The data room of the tests: a database, a shared bucket, tenants, rows and objects at will, and rehouse on them.

Operations run in this process (`migrate`, `verify`, `services`). The command runs as a process of its own: `run` and `json` fork it
from a warm process, which takes milliseconds; `start` and `typed` start it as a user does; `command` runs it as the reliability
tests do, through relays if one of them is to disturb it. Its environment is built here, and nothing of the tests' own gets into it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import psycopg
from pydantic import SecretStr
from tests.support.envelope import envelope_of
from tests.support.http_relay import HttpRelay
from tests.support.killer import Killer
from tests.support.postgres_relay import PostgresRelay
from tests.support.warm_process import Ended, Warm, common_warm_command

from rehouse.config import Settings
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Tenant
from rehouse.operations import migrate as migrating
from rehouse.operations import verify as verifying
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order
from rehouse.sandbox.s3_server import S3Server

ROLES = ("--role", "provision", "--role", "migrate")
CORS_ORIGIN = "https://app.example.com"
LARGE_BYTES = 5 * 1024 * 1024
SERIAL = {
    "REHOUSE_MAX_IN_FLIGHT": "2",
    "REHOUSE_BATCH_SIZE": "2",
    "REHOUSE_MULTIPART_THRESHOLD_BYTES": str(LARGE_BYTES),
    "REHOUSE_MULTIPART_PART_BYTES": str(LARGE_BYTES),
}
"""Small batches, so that a small migration has everything that a large one has: pages, parts, several flips."""
SHARED = "{shared bucket}"
"""Stands in a command for the shared bucket's name."""
LIKE: dict[str, Any] = {"ContentType": "application/x-place", "Metadata": {"who": "somebody"}, "Tagging": "kept=yes"}
"""What the objects of `upload` are like, besides their bytes: that must arrive too."""
_numbers = itertools.count(1)


class Room:
    """A database and a shared bucket on running servers, and a prefix for the homes.

    Everything is done and looked at with root's client. `credentials`: the keys of the command's IAM user; `more`: further
    variables of its environment; `endpoint`: another address of S3 for it. `storage` and `database` are relays in front of the
    servers. `bodies` is what the application committed last, by document; `late` what was overwritten without the row's lock: a
    reader may still get that until the next sweep has ended.
    """

    def __init__(
        self,
        url: str,
        shared: str,
        server: S3Server,
        settings: Settings | None = None,
        *,
        prefix: str | None = None,
        credentials: tuple[str, str] = ("", ""),
    ) -> None:
        self.url, self.shared, self.server, self.credentials = url, shared, server, credentials
        self.prefix = prefix or f"room{next(_numbers)}"
        settings = settings or Settings(endpoint_url=server.endpoint_url, region=server.region)
        update = {"database_url": SecretStr(url), "shared_bucket": (shared,), "bucket_prefix": self.prefix}
        self.settings = settings.model_copy(update=update)
        self.root = server.root()
        self.endpoint: str | None = None
        self.more: dict[str, str] = {}
        self.storage: HttpRelay
        self.database: PostgresRelay
        self.bodies: dict[str, bytes] = {}
        self.late: dict[str, bytes] = {}
        self.sources: dict[str, str] = {}

    @cached_property
    def warm(self) -> Warm:
        """The warm process that `command` and `relayed` fork."""
        return common_warm_command()

    def beside(self, warm: Warm) -> Room:
        """Return the same room with another warm process, for a second command at once."""
        second = copy(self)
        second.warm = warm
        return second

    @cached_property
    def connection(self) -> psycopg.Connection:
        """The room's own connection; `close` closes it."""
        return psycopg.connect(self.url, autocommit=True)

    def close(self) -> None:
        """Close the room's own connection, if it was opened."""
        if "connection" in self.__dict__:
            self.connection.close()

    def tenant(self, slug: str, home: str | None = None) -> None:
        """Add a tenant."""
        self.sql("INSERT INTO tenants (name, slug, aws_bucket_name) VALUES (%s, %s, %s)", slug, slug, home)

    def put(self, key: str, body: bytes = b"x", bucket: str | None = None) -> str:
        """Upload an object; return its ETag."""
        return self.root.put_object(Bucket=bucket or self.shared, Key=key, Body=body)["ETag"].strip('"')

    def row(
        self, document_id: str, key: str | None, *, slug: str = "acme", bucket: str | None = None, **more: Any
    ) -> None:
        """Add a row; without a bucket it is NULL."""
        values = {"id": document_id, "s3_key": key, "s3_bucket": bucket, "original_name": f"{document_id}.txt"}
        values |= {"filename": "f", "size": 1, "uploaded_at": "2024-01-01", **more}
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        tenant = "(SELECT id FROM tenants WHERE slug = %s)"
        self.sql(f"INSERT INTO documents ({names}, tenant_id) VALUES ({marks}, {tenant})", *values.values(), slug)

    def documents(self, *document_ids: str, slug: str = "acme") -> None:
        """Add documents whose bodies are their ids."""
        for document_id in document_ids:
            self.put(f"k/{document_id}", document_id.encode())
            self.row(document_id, f"k/{document_id}", slug=slug, bucket=self.shared)

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run a statement on the room's own connection, which keeps what a session sets; return its rows."""
        cursor = self.connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def pointer(self, document_id: str) -> tuple[str | None, str | None]:
        """Return where a row points."""
        return self.sql("SELECT s3_bucket, s3_key FROM documents WHERE id = %s", document_id)[0]

    def states(self) -> dict[str, str]:
        """Return document id → state in the ledger."""
        return dict(self.sql("SELECT document_id, state FROM s3_migration_documents"))

    def home(self, slug: str = "acme") -> str:
        """Return the tenant's home as the ledger has it."""
        query = "SELECT home_bucket FROM s3_migrations m JOIN tenants t ON t.id = m.tenant_id WHERE slug = %s"
        return str(self.sql(query, slug)[0][0])

    def body(self, document_id: str) -> bytes:
        """Return what a download of the document gives."""
        bucket, key = self.pointer(document_id)
        return self.root.get_object(Bucket=bucket or self.shared, Key=key or "")["Body"].read()

    def keys(self, bucket: str) -> list[str]:
        """Return the keys in a bucket."""
        return [each["Key"] for each in self.root.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, on a connection of its own: from any thread, whatever became of the room's."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        """Run a statement on a connection of its own."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)

    def lay_out(self, documents: int) -> None:
        """Fill the room with one tenant `a` and so many small documents, their rows without a bucket."""
        with ThreadPoolExecutor(8) as threads:
            list(
                threads.map(
                    lambda n: self.root.put_object(Bucket=self.shared, Key=f"k/{n}", Body=b"%d" % n), range(documents)
                )
            )
        self.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
        self.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size, file_size) "
            "SELECT n::text, 1, 'x', 'x', 'k/' || n, 1, 0 FROM generate_series(0, %s) n",
            documents - 1,
        )

    @contextmanager
    def services(self, *, writes: bool = True, **more: Any) -> Iterator[Services]:
        """Open the services, with some settings changed."""
        with Services.open(self.settings.model_copy(update=more), writes=writes) as opened:
            yield opened

    @contextmanager
    def stopped_at_home(self) -> Iterator[Services]:
        """Open services that Ctrl-C meets as soon as the home of `acme` was listed."""
        home = self.home()
        with self.services() as opened:
            yield replace(opened, report=lambda told: opened.stop() if told.subject == home else None)

    def migrate(self, slug: str = "acme", until: Phase = Phase.CUT_OVER, **more: Any) -> TenantReport:
        """Migrate one tenant as the command does; return the report."""
        return self.run_order(Order(until), slug, **more)

    def run_order(self, order: Order, slug: str = "acme", **more: Any) -> TenantReport:
        """Run one tenant's migration by an order; return the report."""
        with self.services(**more) as services:
            return migrating.migrate_one(services, services.ledger.tenant(slug), order)

    def verify(self, slug: str = "acme", *, deep: bool = False) -> verifying.VerifyReport:
        """Verify one tenant as the command does; return the report."""
        with self.services(writes=False) as services:
            return verifying.verify(services, services.ledger.tenant(slug), deep=deep)

    def begun(self, services: Services, slug: str = "acme") -> tuple[Tenant, Any]:
        """Return the tenant and its migration under this run, for steps one by one."""
        tenant = services.ledger.tenant(slug)
        before = services.ledger.migration(tenant)
        assert before is not None
        return tenant, services.ledger.begin_run(tenant, before.home_bucket)

    @property
    def log_bucket(self) -> str:
        """The bucket of the access logs: outside the prefix of the homes."""
        return f"logs-{self.shared}"[:63]

    def environment(self) -> dict[str, str]:
        """Everything that the process is told."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "DATABASE_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.credentials[0],
            "AWS_SECRET_ACCESS_KEY": self.credentials[1],
            "AWS_REGION": self.server.region,
            "AWS_ENDPOINT_URL_S3": self.endpoint or self.server.endpoint_url,
            "AWS_ENDPOINT_URL": self.endpoint or self.server.endpoint_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "REHOUSE_SHARED_BUCKET": self.shared,
            "REHOUSE_BUCKET_PREFIX": self.prefix,
            "REHOUSE_LOG_BUCKET": self.log_bucket,
            "REHOUSE_CORS_ORIGINS": CORS_ORIGIN,
            **self.more,
        }

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start the command and return its process."""
        return subprocess.Popen(
            [sys.executable, "-m", "rehouse", *arguments],
            env=self.environment() | more,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, seconds: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, as a child of the warm process."""
        ended = common_warm_command().run_apart(*arguments, environment=self.environment() | more, seconds=seconds)
        return subprocess.CompletedProcess(arguments, ended.status, ended.printed, ended.errors)

    def typed(self, words: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command at a terminal, where somebody has typed `words`."""
        ours, theirs = pty.openpty()
        os.write(ours, words.encode())
        with os.fdopen(ours, "rb"), os.fdopen(theirs, "rb") as terminal:
            return subprocess.run(
                [sys.executable, "-m", "rehouse", *arguments],
                check=False,
                env=self.environment() | more,
                cwd="/",
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=120,
            )

    def json(self, *arguments: str, status: int = 0, **more: str) -> Any:
        """Run the command with `--output json`, hold it to an exit status, and return its result."""
        done = self.run(*arguments, "--output", "json", **more)
        assert done.returncode == status, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        told = envelope_of(done.stdout)
        assert told["exit_status"] == status, told
        return told["result"]

    def policies(self) -> dict[str, Any]:
        """What the command itself says that it needs, for provisioning and migrating."""
        done = self.run("iam-policy", *ROLES)
        assert done.returncode == 0, done.stderr
        documents: dict[str, Any] = json.loads(done.stdout)
        return documents

    def with_user(self, **more_policies: Any) -> Room:
        """Give the command a fresh IAM user with its own policy documents, and `more_policies`."""
        self.credentials = self.server.user(f"rehouse-{next(_numbers)}", self.policies() | more_policies)
        return self

    def command(self, *arguments: str, killer: Killer | None = None) -> Ended:
        """Run the command; with a killer through the relays, which tell it of every call."""
        if killer is None:
            return self.warm.run(*self._named(arguments), environment=self.environment() | SERIAL)
        killer.watch(self.storage, self.database)

        def begun(pid: int) -> None:
            killer.pid = pid

        return self.relayed(*arguments, begun=begun)

    def relayed(self, *arguments: str, begun: Callable[[int], object] = lambda pid: None) -> Ended:
        """Run the command through the relays, whatever their rules are."""
        url = self.url.rsplit("@", 1)[0] + f"@127.0.0.1:{self.database.port}/{self.url.rsplit('/', 1)[1]}"
        relays = {
            "DATABASE_URL": f"{url}?sslmode=disable&gssencmode=disable",
            "AWS_ENDPOINT_URL_S3": self.storage.url,
            "AWS_ENDPOINT_URL": self.storage.url,
        }
        environment = self.environment() | SERIAL | relays
        return self.warm.run(*self._named(arguments), environment=environment, begun=begun)

    def _named(self, arguments: tuple[str, ...]) -> list[str]:
        return [self.shared if each == SHARED else each for each in arguments]

    def done(self, *arguments: str) -> None:
        """Run the command; it must end well."""
        ended = self.command(*arguments)
        assert ended.status == 0, ended

    def current_home(self) -> str:
        """Return the bucket that the application uploads to: the tenant's own, else the shared one."""
        return str(self.rows("SELECT coalesce(aws_bucket_name, %s) FROM tenants", self.shared)[0][0])

    def phase(self) -> str:
        """Return the tenant's phase; "none" before its first run."""
        found = self.rows("SELECT phase FROM s3_migrations")
        return str(found[0][0]) if found else "none"

    def put_with_metadata(self, bucket: str, key: str, body: bytes) -> str:
        """Upload an object that is like LIKE; return its ETag in quotes."""
        return str(self.root.put_object(Bucket=bucket, Key=key, Body=body, **LIKE)["ETag"])

    def upload(self, document_id: str, body: bytes, *, key: str | None = None, null_bucket: bool = False) -> None:
        """Upload a document as the application does."""
        bucket, key = self.current_home(), key or f"in/{document_id}"
        etag = self.put_with_metadata(bucket, key, body)
        self.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, etag, uploaded_at) "
            "VALUES (%s, 1, %s, 'f', %s, %s, %s, %s, '2024-01-01')",
            document_id, f"{document_id}.txt", None if null_bucket else bucket, key, len(body), etag,
        )  # fmt: skip
        self.bodies[document_id] = body

    def overwrite(self, document_id: str, body: bytes) -> None:
        """Overwrite a document in place, as the rules allow, and say so in its row."""
        bucket, key = self.pointers()[document_id]
        etag = self.put_with_metadata(bucket, key, body)
        self.execute("UPDATE documents SET etag = %s, size = %s WHERE id = %s", etag, len(body), document_id)
        self.bodies[document_id] = body

    def pointers(self) -> dict[str, tuple[str, str]]:
        """Return where the rows point."""
        rows = self.rows("SELECT id, coalesce(s3_bucket, %s), s3_key FROM documents", self.shared)
        return {row[0]: (row[1], row[2]) for row in rows}

    def objects(self, bucket: str) -> dict[str, str]:
        """Return key → ETag of a bucket."""
        found = self.root.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: each["ETag"] for each in found}

    def homes(self) -> list[str]:
        """Return the tenants' buckets that there are."""
        return [name for name in self.buckets() if name.startswith(f"{self.prefix}-")]

    def buckets(self) -> list[str]:
        """Return all buckets of the server."""
        return [each["Name"] for each in self.root.list_buckets()["Buckets"]]

    def swept(self) -> None:
        """From here on nothing old may be read any more."""
        self.late = {}

    def remove(self) -> None:
        """Remove its buckets, so that a server with thousands of rooms behind it stays quick."""
        for bucket in {self.shared, self.log_bucket, *self.homes()} & set(self.buckets()):
            while found := _versions(self.root, bucket):
                self.root.delete_objects(Bucket=bucket, Delete={"Objects": found, "Quiet": True})
            self.root.delete_bucket(Bucket=bucket)


def md5(body: bytes) -> str:
    """Return the ETag of a small upload."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _versions(root: Any, bucket: str) -> list[dict[str, str]]:
    page = root.list_object_versions(Bucket=bucket)
    found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
