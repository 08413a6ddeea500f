"""The application's documents table: nullable columns and two indexes, so that nobody waits for us. No foreign keys of ours."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from rehouse.ledger.catalog import ADDED_COLUMNS, Catalog
from rehouse.ledger.queries import raw
from rehouse.ledger.revisions.statement import Manner, Statement
from rehouse.ledger.revisions.tables import rendered

INDEXES = {
    "rehouse_documents_by_tenant": ("tenant_id", "id"),
    "rehouse_documents_by_object": ("s3_bucket", "s3_key"),
}
"""For reading a tenant's documents page by page, and for finding who else points to an object."""


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the missing columns in one ALTER TABLE, and the missing indexes, each made CONCURRENTLY."""
    lacking = [name for name in ADDED_COLUMNS if name in catalog.missing_columns]
    if lacking:
        added = sql.SQL(", ").join(
            sql.SQL("ADD COLUMN IF NOT EXISTS {} {}").format(
                sql.Identifier(catalog.column("documents", name)), raw(ADDED_COLUMNS[name])
            )
            for name in lacking
        )
        text = sql.SQL("ALTER TABLE {} {}").format(catalog.documents.identifier, added).as_string(None)
        yield Statement(f"documents gains {', '.join(lacking)}", text, Manner.POLITE)
    for name, columns in INDEXES.items():
        yield from _index(catalog, name, columns)


def _index(catalog: Catalog, name: str, fields: tuple[str, str]) -> Iterator[Statement]:
    if catalog.documents.has_index(*(catalog.column("documents", field) for field in fields)):
        return
    if any(index.name == name for index in catalog.documents.indexes):
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {{schema}}.{name}"
        yield Statement(f"the invalid index {name} is dropped", rendered(drop, catalog), Manner.ALONE)
    columns = ", ".join(f"{{documents.{field}}}" for field in fields)
    text = f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {{documents}} ({columns})"
    yield Statement(f"the index {name}", rendered(text, catalog), Manner.ALONE)
