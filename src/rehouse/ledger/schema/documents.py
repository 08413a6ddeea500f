"""What rehouse adds to the application's tables: nullable columns and two indexes, without blocking writers.

It adds no foreign keys.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from rehouse.core.mapping import ROLES
from rehouse.ledger import facts
from rehouse.ledger.catalog import ADDED_COLUMNS, Catalog
from rehouse.ledger.facts import record_items
from rehouse.ledger.queries import raw
from rehouse.ledger.schema.statement import Manner, Statement
from rehouse.ledger.schema.tables import render

BY_TENANT = "rehouse_documents_by_tenant"
"""The index for reading a tenant's documents page by page."""
BY_POINTER = "rehouse_documents_by_pointer"
"""The index for finding all rows that point to an object. It leaves out rows whose key or bucket is longer than S3 allows,
because values too long for a B-tree would make the application's own statements fail.
"""
FORMER = "rehouse_documents_by_object"
"""The former index that BY_POINTER replaces; it held all rows."""


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield what adds the missing columns (those of documents in one ALTER TABLE) and the missing indexes."""
    if catalog.is_home_missing:
        yield _home_column(catalog)
    lacking = [name for name in ADDED_COLUMNS if name in catalog.missing_columns]
    if lacking:
        added = sql.SQL(", ").join(
            sql.SQL("ADD COLUMN IF NOT EXISTS {} {}").format(
                sql.Identifier(catalog.column("documents", name)), raw(ADDED_COLUMNS[name])
            )
            for name in lacking
        )
        text = sql.SQL("ALTER TABLE {} {}").format(catalog.documents.identifier, added).as_string(None)
        names = [catalog.column("documents", name) for name in lacking]
        text += ";\n" + record_items(catalog.schema, facts.ADDED_COLUMNS, [["documents", name] for name in names])
        yield Statement(
            f"documents gains {', '.join(lacking)}", text, Manner.POLITE, catalog.documents.identifier.as_string(None)
        )
    yield from _index(catalog, BY_TENANT, ("tenant_id", "id"))
    yield from _index(catalog, BY_POINTER, ("s3_bucket", "s3_key"), "{documents.is_indexed}")
    if not catalog.documents.is_partitioned and any(index.name == FORMER for index in catalog.documents.indexes):
        drop = render(f"DROP INDEX CONCURRENTLY IF EXISTS {{schema}}.{FORMER}", catalog)
        yield Statement(f"the index {FORMER} is dropped", drop, Manner.ALONE)


def _home_column(catalog: Catalog) -> Statement:
    name, kind = catalog.column("tenants", "aws_bucket_name"), ROLES["tenants"]["aws_bucket_name"].created_as
    text = sql.SQL("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {}").format(
        catalog.tenants.identifier, sql.Identifier(name), raw(str(kind))
    )
    added = text.as_string(None) + ";\n" + record_items(catalog.schema, facts.ADDED_COLUMNS, [["tenants", name]])
    table = catalog.tenants.identifier.as_string(None)
    return Statement(f"{catalog.tenants.name} gains {name}", added, Manner.POLITE, table)


def _index(catalog: Catalog, name: str, fields: tuple[str, str], condition: str | None = None) -> Iterator[Statement]:
    names = tuple(catalog.column("documents", field) for field in fields)
    others = [index for index in catalog.documents.indexes if index.name != FORMER]
    if any(index.is_valid and (index.name == name or index.columns[:2] == names) for index in others):
        return
    if catalog.documents.is_partitioned:
        yield from _partitioned_index(catalog, name, fields, condition)
        return
    if any(index.name == name for index in others):
        drop = f"DROP INDEX CONCURRENTLY IF EXISTS {{schema}}.{name}"
        yield Statement(f"the invalid index {name} is dropped", render(drop, catalog), Manner.ALONE)
    columns = ", ".join(f"{{documents.{field}}}" for field in fields)
    where = f" WHERE {condition}" if condition else ""
    text = f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {{documents}} ({columns}){where}"
    yield Statement(f"the index {name}", render(text, catalog), Manner.ALONE)


def _partitioned_index(
    catalog: Catalog, name: str, fields: tuple[str, str], condition: str | None
) -> Iterator[Statement]:
    """Yield what indexes a partitioned table: one index per partition CONCURRENTLY, attached to the parent's.

    PostgreSQL cannot create the parent's index CONCURRENTLY.
    """
    where = f" WHERE {condition}" if condition else ""
    columns = render(f"({', '.join(f'{{documents.{field}}}' for field in fields)}){where}", catalog)
    made = {catalog.documents.oid: sql.Identifier(catalog.schema, name).as_string(None)}
    yield Statement(
        f"the index {name} of the partitioned table",
        f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {render('{documents}', catalog)} {columns}",
        Manner.POLITE,
    )
    attached = []
    for part in catalog.documents.partitions:
        own = f"{name}_{part.oid}"
        made[part.oid] = sql.Identifier(part.schema, own).as_string(None)
        table = sql.Identifier(part.schema, part.name).as_string(None)
        if own in part.invalid_indexes and part.is_leaf:
            yield Statement(
                f"the invalid index {own} is dropped",
                f"DROP INDEX CONCURRENTLY IF EXISTS {made[part.oid]}",
                Manner.ALONE,
            )
        if part.is_leaf:
            text = f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {own} ON {table} {columns}"
            yield Statement(f"the index {own} on {part.name}", text, Manner.ALONE)
        else:
            text = f"CREATE INDEX IF NOT EXISTS {own} ON ONLY {table} {columns}"
            yield Statement(f"the index {own} on {part.name}", text, Manner.POLITE)
        attached.append((own, f"ALTER INDEX {made[part.parent_oid]} ATTACH PARTITION {made[part.oid]}"))
    for own, text in reversed(attached):
        yield Statement(f"the index {own} is attached to its parent's", text, Manner.POLITE)
