"""The rows of tenants and documents as the application's own role reads and writes them, one at a time.

The connection is the application's: behind a pooler, under row security, in a transaction or not. Nothing here sets anything for
its session, prepares a statement or ends a transaction that the application began. Each statement that writes a document names its
tenant and its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus

from rehouse.core.addressing import BY_ID
from rehouse.core.errors import DatabaseRefused, NoSuchDocument, Refused, RehouseError, UnknownTenant
from rehouse.core.model import ObjectRef, TenantId
from rehouse.core.routing import canonical_id
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.faults import translate_error, translate_errors
from rehouse.ledger.queries import Queries
from rehouse.ledger.relations import Table
from rehouse.ledger.rows import Row, plain_id, rows_of

NEEDED = ("s3_migrations", "s3_upload_grants", "s3_pending_deletions")
"""Our tables without which storage cannot work."""


@dataclass(frozen=True, slots=True)
class TenantRow:
    """A tenant's row. `home`: the bucket that it names. `others`: those that the ledger has for it.

    `is_contested`: the ledger has reserved the bucket that the row names for another tenant.
    """

    id: TenantId
    slug: str | None
    name: str
    is_active: bool
    home: str | None
    others: tuple[str, ...]
    is_contested: bool


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document's row. `bytes`: what it counts for.

    `key_fault`: why its key cannot be one of S3; `key` is then only a text for display.
    """

    document_id: str
    tenant_id: TenantId
    name: str
    bucket: str | None
    key: str | None
    etag: str | None
    bytes: int
    key_fault: str | None = None


@dataclass(frozen=True, slots=True)
class StoredUpload:
    """The object to which a row is pointed; `etag` without quotes."""

    ref: ObjectRef
    size: int
    etag: str
    version: str | None = None
    checksum: str | None = None


class _OfApplication(Exception):
    """Carries an error of the application's statements past the translation of ours."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__()
        self.error = error


def call(on_commit: Callable[[], object]) -> None:
    """Call what the application wants to do in the same transaction."""
    try:
        on_commit()
    except psycopg.Error as error:
        raise _OfApplication(error) from error


def is_idle(connection: psycopg.Connection) -> bool:
    """Return whether no transaction is open on the connection."""
    return connection.info.transaction_status is TransactionStatus.IDLE


@contextmanager
def transaction(connection: psycopg.Connection) -> Iterator[None]:
    """Run the block in a transaction of its own, at READ COMMITTED; inside the application's transaction, in a savepoint.

    Translates PostgreSQL's errors, except those of the application in `call`.
    """
    is_ours = is_idle(connection)
    before = connection.isolation_level
    try:
        if is_ours and before is not IsolationLevel.READ_COMMITTED:
            connection.isolation_level = IsolationLevel.READ_COMMITTED
        with connection.transaction():
            yield
    except _OfApplication as passed:
        raise passed.error from None
    except psycopg.Error as error:
        raise translate_error(error) from error
    finally:
        if is_ours and not connection.closed and connection.isolation_level is not before:
            connection.isolation_level = before


@contextmanager
def statement(connection: psycopg.Connection) -> Iterator[None]:
    """Run one statement that only reads, and leave the connection in no transaction that the application did not begin."""
    if connection.autocommit or not is_idle(connection):
        with translate_errors():
            yield
    else:
        with transaction(connection):
            yield


class ApplicationRows:
    """The rows, over one connection of the application's.

    Raises DatabaseRefused if the ledger has no tables for uploads.
    """

    def __init__(self, connection: psycopg.Connection, catalog: Catalog, queries: Queries) -> None:
        missing = [name for name in NEEDED if name not in catalog.own]
        if missing:
            raise DatabaseRefused(
                f"the database {connection.info.dbname} has no table {', '.join(missing)}",
                hint="`rehouse init` makes it; the first migrate does so too",
            )
        self.connection = connection
        self.catalog = catalog
        self.queries = queries

    def read_tenant(self, named: str | TenantId) -> TenantRow:
        """Return the tenant that a slug, an id, or `id:` and an id names.

        Raises UnknownTenant if none or several match, which is also so if row security hides it.
        """
        text = str(named)
        is_id = not isinstance(named, str) or text.startswith(BY_ID)
        slug = None if is_id or "\0" in text or not self._is_text(text) else text
        values = {"tenant_id": self.tenant_id(text.removeprefix(BY_ID)), "slug": slug}
        with statement(self.connection):
            found = self.rows("tenant_of_storage", values)
        if len(found) == 1:
            return _tenant_of(found[0])
        if found:
            ways = " or ".join(f"{BY_ID}{row.tenant_id}" for row in found)
            raise UnknownTenant(f"{text!r} names {len(found)} tenants", hint=f"name it by its id: {ways}", subject=text)
        raise UnknownTenant(
            f"there is no tenant {text!r}, or row security hides it",
            hint="`rehouse status` lists the tenants",
            subject=text,
        )

    def read_document(self, tenant_id: TenantId, document_id: str) -> DocumentRow | None:
        """Return a document of the tenant, or None."""
        with statement(self.connection):
            return self._document("document_of_storage", tenant_id, document_id)

    def lock_document(self, tenant_id: TenantId, document_id: str) -> DocumentRow | None:
        """Lock a document of the tenant until the end of the transaction, and return it; None if there is none."""
        return self._document("lock_document", tenant_id, document_id)

    def list_documents(self, tenant_id: TenantId, *, after: str | None = None, limit: int = 1000) -> list[DocumentRow]:
        """Return a page of the tenant's documents in order of id, those after `after`."""
        values = {"tenant_id": tenant_id, "after": self.document_id(after) if after else None, "limit": limit}
        with statement(self.connection):
            return [document_of(row) for row in self.rows("documents_of_storage", values)]

    def point_document(self, tenant_id: TenantId, document_id: str, stored: StoredUpload) -> None:
        """Point a document to an object. It must be locked. Raises NoSuchDocument, or DatabaseRefused if a trigger prevents it."""
        values = {
            "tenant_id": tenant_id,
            "document_id": self.document_id(document_id),
            "bucket": stored.ref.bucket,
            "key": stored.ref.key,
            "size": stored.size,
            "etag": stored.etag,
            "version": stored.version,
            "checksum": stored.checksum,
        }
        row = self.row("point_to_object", values)
        if row is None:
            raise no_such_document(document_id, tenant_id)
        if (row.bucket, row.key) != (stored.ref.bucket, stored.ref.key):
            raise refusal_of(document_id, "point the row to its object")

    def clear_document(self, tenant_id: TenantId, document: DocumentRow) -> None:
        """Take a document's pointer away. It must be locked. Raises DatabaseRefused if the column must not be NULL."""
        values = {"tenant_id": tenant_id, "document_id": document.document_id, "bucket": document.bucket}
        try:
            row = self.row("clear_pointer", {**values, "key": document.key})
        except psycopg.errors.NotNullViolation as error:
            raise DatabaseRefused(
                f"{error.diag.table_name}.{error.diag.column_name} must not be NULL, so the row cannot be without an object",
                hint="delete the row, or mark it, in `on_commit`",
                subject=document.document_id,
            ) from error
        if row is None or row.key is not None:
            raise refusal_of(document.document_id, "take the row's pointer away")

    def is_pointed_at(self, tenant_id: TenantId, document_id: str, ref: ObjectRef, *, is_default: bool) -> bool:
        """Return whether a row of any tenant points to an object, whatever row security hides, or this document is about to.

        `is_default`: it is in the first shared bucket, which rows without a bucket mean. `document_id`: empty for a file without a
        row.
        """
        values = {"bucket": ref.bucket, "key": ref.key, "is_default": is_default}
        values |= {"tenant_id": str(tenant_id), "document_id": str(document_id) or None}
        with statement(self.connection):
            row = self.row("is_pointed_at", values)
        return row is None or row.is_pointed_at is not False

    def tenant_id(self, value: object) -> str | None:
        """Return a tenant's id as PostgreSQL writes it; None if it cannot be one."""
        return self._id(self.catalog.tenants, self.catalog.column("tenants", "id"), value)

    def document_id(self, value: object) -> str:
        """Return a document's id as PostgreSQL writes it. Raises NoSuchDocument if it cannot be one."""
        found = self._id(self.catalog.documents, self.catalog.column("documents", "id"), value)
        if found is None:
            shown = ascii(str(value)[:80])
            raise NoSuchDocument(
                f"{shown} cannot be the id of a document: the column is {self.catalog.document_id_type}",
                hint="pass the id as the row has it",
                subject=shown,
            )
        return found

    def rows(self, name: str, values: Mapping[str, object]) -> list[Row]:
        """Return the rows of a named query. Raises PostgreSQL's errors."""
        return rows_of(self.connection, self.queries[name], values, prepare=False)

    def row(self, name: str, values: Mapping[str, object]) -> Row | None:
        """Return the first row of a named query, or None."""
        return next(iter(self.rows(name, values)), None)

    def run(self, name: str, values: Mapping[str, object]) -> None:
        """Run a named statement that returns no rows."""
        self.connection.execute(self.queries[name], values, prepare=False)

    def _document(self, query: str, tenant_id: TenantId, document_id: str) -> DocumentRow | None:
        row = self.row(query, {"tenant_id": tenant_id, "document_id": self.document_id(document_id)})
        return None if row is None else document_of(row)

    @staticmethod
    def _id(table: Table, name: str, value: object) -> str | None:
        column = table.columns[name]
        return canonical_id(column.base_type, value, max_length=column.max_length)

    @staticmethod
    def _is_text(text: str) -> bool:
        return not any("\ud800" <= char <= "\udfff" for char in text)


def no_such_document(document_id: str, tenant_id: TenantId) -> NoSuchDocument:
    """Return the error for a row that is not there, which is also so if row security hides it."""
    return NoSuchDocument(
        f"the tenant {tenant_id} has no document {document_id!r}",
        hint="insert its row first, or in `on_commit`; row security may hide it",
        subject=document_id,
    )


def no_such_tenant(tenant_id: TenantId) -> UnknownTenant:
    """Return the error for a tenant that is not there, or that row security hides."""
    return UnknownTenant(
        f"there is no tenant with the id {tenant_id}, or row security hides it",
        hint="`rehouse status` lists the tenants",
        subject=str(tenant_id),
    )


def unchanged_row(document_id: str, what: str) -> Refused:
    """Return the error for a row that the application did not write as it must be."""
    return Refused(
        f"`on_commit` returned, but the row of the document {document_id!r} is not as it must be: {what}",
        hint="write the bucket and the key that `on_commit` is given, on the connection that you passed",
        subject=document_id,
    )


def refusal_of(document_id: str, what: str) -> RehouseError:
    """Return the error for a statement that changed nothing, although the row is there."""
    return DatabaseRefused(
        f"the document {document_id!r}: a trigger or a rule of the database did not let rehouse {what}",
        hint="look at the triggers and rules of the documents table",
        subject=document_id,
    )


def _tenant_of(row: Row) -> TenantRow:
    others = dict.fromkeys(each for each in (row.home_bucket, row.previous_home) if each)
    return TenantRow(
        plain_id(row.tenant_id), row.slug, row.name or "", bool(row.is_active), row.home, (*others,), row.is_contested
    )


def document_of(row: Row) -> DocumentRow:
    """Return the document of a row with the columns of `columns_of_document`."""
    return DocumentRow(
        str(row.document_id),
        plain_id(row.tenant_id),
        row.name,
        row.bucket,
        row.key,
        getattr(row, "etag", None),
        int(row.bytes),
        row.key_fault,
    )
