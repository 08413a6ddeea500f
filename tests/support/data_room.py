"""A small data room for tests of single operations: a database, a shared bucket, a tenant `acme`, rows and objects at will."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
from pydantic import SecretStr

from rehouse.config import Settings
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Tenant
from rehouse.operations import migrate as migrating
from rehouse.operations import verify as verifying
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order
from rehouse.sandbox.s3_server import S3Server

_numbers = itertools.count(1)


class Room:
    """The room. Everything is done and looked at with root's client and a connection of the room's own."""

    def __init__(self, url: str, shared: str, server: S3Server, settings: Settings) -> None:
        self.url, self.shared, self.server, self.root = url, shared, server, server.root()
        update = {"database_url": SecretStr(url), "shared_bucket": (shared,), "bucket_prefix": f"room{next(_numbers)}"}
        self.settings = settings.model_copy(update=update)
        self.connection = psycopg.connect(url, autocommit=True)
        self.tenant("acme")

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
        """Run a statement and return its rows."""
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
        return self.run(Order(until), slug, **more)

    def run(self, order: Order, slug: str = "acme", **more: Any) -> TenantReport:
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


def md5(body: bytes) -> str:
    """Return the ETag of a small upload."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
