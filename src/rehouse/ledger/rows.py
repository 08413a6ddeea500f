"""Read the parts that several queries share from their rows, by column name: documents, ledger records, objects.

A ledger record has the columns of `s3_migration_documents`; an object in the inventory has `seen_etag` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row, scalar_row

from rehouse.core.copies import CopyRecord
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import Document, ListedObject, ObjectRef, TenantId

Row = Any
"""A named tuple of psycopg's `namedtuple_row`: its fields are the names of the query's columns."""


def rows_of(
    connection: psycopg.Connection,
    query: sql.SQL | sql.Composed,
    values: Mapping[str, object] | None = None,
    *,
    prepare: bool | None = None,
) -> list[Row]:
    """Return the rows of a query; `prepare` is psycopg's argument."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query, values, prepare=prepare).fetchall()


def rows_of_whole(
    connection: psycopg.Connection, queries: Mapping[str, sql.SQL], name: str, values: Mapping[str, object]
) -> list[Row]:
    """Return the rows of a named query that reads a whole tenant or bucket."""
    with connection.transaction():
        connection.execute(queries["prepare_stream"])
        return rows_of(connection, queries[name], values)


def value_of(
    connection: psycopg.Connection,
    query: sql.SQL | sql.Composed,
    values: Mapping[str, object] | Sequence[object] | None = None,
) -> Any:
    """Return the value of a query that has one column and at most one row; None if it has no row."""
    with connection.cursor(row_factory=scalar_row) as cursor:
        return cursor.execute(query, values).fetchone()


def plain_id(value: object) -> TenantId:
    """Return a tenant's id: an integer unchanged, anything else as text."""
    return value if isinstance(value, int) else str(value)


def document_of(row: Row, key_fault: str | None = None) -> Document:
    """Return the document of a row of the application's table."""
    return Document(
        str(row.document_id),
        plain_id(row.tenant_id),
        row.name,
        row.bucket,
        row.key,
        row.row_etag,
        row.uploaded_at,
        key_fault,
    )


def source_of(row: Row) -> ObjectRef:
    """Return the source of a ledger record."""
    return ObjectRef(row.source_bucket, row.source_key)


def target_of(row: Row) -> ObjectRef:
    """Return the target of a ledger record that has one."""
    return ObjectRef(row.target_bucket, row.target_key)


def copy_record_of(row: Row) -> CopyRecord | None:
    """Return the ledger's record of a document, or None."""
    if row.state is None:
        return None
    target = target_of(row) if row.target_key else None
    return CopyRecord(DocumentState(row.state), source_of(row), row.source_etag, target, row.target_etag)


def columns_of_copy(row: Row) -> dict[str, Any]:
    """Return the record of a copied document, by the names of CopiedDocument's fields."""
    return {
        "document_id": str(row.document_id),
        "state": DocumentState(row.state),
        "source": source_of(row),
        "source_etag": row.source_etag,
        "target": target_of(row),
        "target_etag": row.target_etag,
    }


SEEN = attrgetter("seen_etag", "seen_size", "seen_storage_class", "seen_modified_at")
THERE = attrgetter("there_etag", "there_size", "there_storage_class", "there_modified_at")


def object_of(row: Row, key: str, columns: Callable[[Row], tuple[Any, ...]] = SEEN) -> ListedObject | None:
    """Return an object that the run saw, or None: the one where the row points, or with THERE the one at the other end."""
    etag, *others = columns(row)
    return None if etag is None else ListedObject(key, etag, *others)
