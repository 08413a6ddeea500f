"""An application with a ledger and row security, whose tenants upload as storage does, but for S3."""

from __future__ import annotations

import itertools
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal

import psycopg
from tests.support.application_role import hide_other_tenants, make_application_role

from rehouse.config.sections import TableMapping
from rehouse.core.quotas import GB_BYTES
from rehouse.core.routing import Buckets, buckets_of
from rehouse.core.uploads import Declared, declare
from rehouse.ledger import catalog as catalogs
from rehouse.ledger import schema
from rehouse.ledger.application_rows import ApplicationRows, StoredUpload, TenantRow
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.connection import connect
from rehouse.ledger.queries import Queries, load
from rehouse.ledger.uploads import Grant, Settled, Uploads

SHARED = ("shared", "older")
PLAIN = TableMapping()
_numbers = itertools.count(1)


@dataclass
class Shop:
    """An application with a ledger: the owner's connection, and what its own role has."""

    owner: psycopg.Connection
    owner_url: str
    url: str
    catalog: Catalog
    queries: Queries
    stack: ExitStack

    def tenant(
        self, *, gb: Decimal | int | None = None, documents: int | None = None, home: str | None = None
    ) -> Tenant:
        """Add a tenant, and connect as the application does for it."""
        name = f"tenant-{next(_numbers)}"
        values = {"name": name, "slug": name, "aws_bucket_name": home, "max_storage_gb": gb, "max_documents": documents}
        named = {self.catalog.column("tenants", each): value for each, value in values.items()}
        named.pop("", None)
        columns, marks = ", ".join(f'"{each}"' for each in named), ", ".join(["%s"] * len(named))
        insert = f"INSERT INTO tenants ({columns}) VALUES ({marks}) RETURNING id"
        tenant_id = self.sql(insert, *named.values())[0][0]
        return Tenant(self, tenant_id, name if "slug" in named else str(tenant_id))

    def sql(self, statement: str, *values: object) -> list[tuple]:
        cursor = self.owner.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


@dataclass
class Tenant:
    """A tenant, with one connection of the application's."""

    shop: Shop
    id: object
    slug: str

    def __post_init__(self) -> None:
        self.connection = self.connect()

    def connect(self, **options: object) -> psycopg.Connection:
        made = psycopg.connect(self.shop.url, **{"autocommit": True, **options})
        self.shop.stack.callback(made.close)
        made.execute("SELECT set_config('app.tenant', %s, false)", (str(self.id),))
        if not made.autocommit:
            made.commit()
        return made

    def uploads(self, connection: psycopg.Connection | None = None, catalog: Catalog | None = None) -> Uploads:
        rows = ApplicationRows(connection or self.connection, catalog or self.shop.catalog, self.shop.queries)
        return Uploads(rows, shared=SHARED, upload_bucket="shared")

    @property
    def rows(self) -> ApplicationRows:
        return ApplicationRows(self.connection, self.shop.catalog, self.shop.queries)

    @property
    def row(self) -> TenantRow:
        return self.rows.read_tenant(self.slug)

    @property
    def buckets(self) -> Buckets:
        return buckets_of(self.row.home, self.row.others, SHARED)

    def document(self, document_id: str, *, size: int = 0, bucket: str | None = None, key: str | None = None) -> str:
        """Insert a row as the application does, and return its id, which no other tenant has."""
        own = f"{self.slug}-{document_id}"
        insert = "INSERT INTO documents (id, tenant_id, original_name, filename, size, file_size, s3_bucket, s3_key)"
        self.connection.execute(
            f"{insert} VALUES (%s, %s, 'n', 'n', %s, %s, %s, %s)".encode(), (own, self.id, size, size, bucket, key)
        )
        return own

    def grant(self, document_id: str, size: int = 10, seconds: int = 600, uploads: Uploads | None = None) -> Grant:
        return (uploads or self.uploads()).open_grant(self.row, document_id, file(size), seconds=seconds)

    def confirm(self, grant: Grant) -> Settled:
        """Confirm as storage does, but for S3."""
        begun = self.uploads().begin_confirm(self.id, grant.grant_id)
        settled = self.uploads().settle(self.id, grant.grant_id, stored(begun), self.buckets)
        assert settled is not None
        return settled

    def pointer(self, document_id: str) -> tuple:
        return self.shop.sql("SELECT s3_bucket, s3_key, file_size, etag FROM documents WHERE id = %s", document_id)[0]

    def state(self, grant: Grant) -> str:
        return self.shop.sql("SELECT state FROM s3_upload_grants WHERE grant_id = %s", grant.grant_id)[0][0]

    def deletions(self) -> list[tuple]:
        query = "SELECT bucket, key, etag FROM s3_pending_deletions WHERE tenant_id = %s ORDER BY id"
        return self.shop.sql(query, self.id)

    def used(self) -> tuple[int, int, int, int]:
        """Return documents and bytes that are used, then those that are reserved."""
        room = self.uploads().quotas.usage(self.row).room
        return room.used_documents, room.used_bytes, room.reserved_documents, room.reserved_bytes


def of(limit_bytes: int) -> Decimal:
    """Return a limit in GB."""
    return Decimal(limit_bytes) / GB_BYTES


def file(size: int, name: str = "Q3 report?.pdf") -> Declared:
    return declare(name, size, "application/pdf")


def stored(grant: Grant) -> StoredUpload:
    assert grant.final is not None
    return StoredUpload(grant.final, grant.declared.size, "e" * 32, "v1", "crc")


def open_shop(url: str, stack: ExitStack, change: str = "", mapping: TableMapping = PLAIN) -> Shop:
    """Change the tables, make the ledger, and let the application's role see one tenant only."""
    owner = connect(url)
    stack.callback(owner.close)
    for column in ("max_storage_gb", "max_documents"):
        owner.execute(f"ALTER TABLE tenants ALTER {column} DROP NOT NULL, ALTER {column} TYPE numeric".encode())
    owner.execute(change.encode() or b"SELECT 1")
    schema.upgrade(owner, catalogs.read(owner, mapping))
    application = make_application_role(url, mapping)
    hide_other_tenants(url)
    with psycopg.connect(application) as connection:
        found = catalogs.read(connection, mapping, as_application=True)
    return Shop(owner, url, application, found, load(found), stack)


def grant_at_once(
    acme: Tenant, most: int, size: int, clients: int, name: str = "d"
) -> tuple[list[Grant], list[Exception]]:
    """Ask for uploads from many connections at the same moment; return what was granted and what was raised."""
    granted: list[Grant] = []
    raised: list[Exception] = []
    together = threading.Barrier(clients)
    tenant = acme.row

    def ask(number: int, uploads: Uploads) -> None:
        together.wait()
        for again in range(most):
            try:
                granted.append(
                    uploads.open_grant(tenant, f"{acme.slug}-{name}-{number}-{again}", file(size), seconds=600)
                )
            except Exception as error:  # noqa: BLE001 - told to the test
                raised.append(error)

    threads = [threading.Thread(target=ask, args=(number, acme.uploads(acme.connect()))) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return granted, raised
