"""Rows of queries, read by the names of their columns: the parts that several queries tell of a document, a line, an object.

A document's line has the columns of `s3_migration_documents`; an object that the inventory holds has `seen_etag` and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import namedtuple_row

from rehouse.core.copies import Recorded
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import Document, ListedObject, ObjectRef, TenantId

Row = Any
"""A named tuple of psycopg's `namedtuple_row`: its fields are the names of the query's columns."""


def rows_of(
    connection: psycopg.Connection,
    query: sql.SQL | sql.Composed,
    values: Mapping[str, object],
    *,
    prepare: bool | None = None,
) -> list[Row]:
    """Return what a query answers; `prepare` is psycopg's."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return cursor.execute(query, values, prepare=prepare).fetchall()


def plain_id(value: object) -> TenantId:
    """Return a tenant's id: integers as they are, anything else as its text."""
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
    """Return the source of a line."""
    return ObjectRef(row.source_bucket, row.source_key)


def target_of(row: Row) -> ObjectRef:
    """Return the target of a line that has one."""
    return ObjectRef(row.target_bucket, row.target_key)


def recorded_of(row: Row) -> Recorded | None:
    """Return what the ledger knows of a document, None where it has no line."""
    if row.state is None:
        return None
    target = target_of(row) if row.target_key else None
    return Recorded(DocumentState(row.state), source_of(row), row.source_etag, target, row.target_etag)


def columns_of_copied(row: Row) -> dict[str, Any]:
    """Return what the line of a document that was copied says, by the names of Copied's fields."""
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
    """Return an object as the run saw it, None if it did not: where a row points, or with THERE at the line's other end."""
    etag, *others = columns(row)
    return None if etag is None else ListedObject(key, etag, *others)
