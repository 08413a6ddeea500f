"""Record the tables and columns for which the ledger is made, after everything is created."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from rehouse.ledger.belonging import COLUMNS, LEDGER, current_mapping, find_differences
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.facts import FACTS_TABLE, MAPPING
from rehouse.ledger.relations import Table
from rehouse.ledger.schema.statement import Statement

_RECORD = """
INSERT INTO {facts} (name, value) SELECT {name}, jsonb_build_object(
  'ledger', {ledger}::regclass::oid::bigint, 'tenants', ({tenants}), 'documents', ({documents}))
ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = now()
"""
_TABLE = """
SELECT jsonb_build_object('table', {name}::text, 'oid', {table}::regclass::oid::bigint, 'columns',
  jsonb_object_agg(c.mapped, jsonb_build_array(c.name, a.attnum)))
FROM (VALUES {columns}) c (mapped, name) JOIN pg_attribute a ON a.attrelid = {table}::regclass AND a.attname = c.name
"""
_TELL = "INSERT INTO {events} (event, reason) VALUES ('mapping_accepted', {reason})"


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements that record the mapping unless it is recorded.

    An accepted change goes into the history.
    """
    now = current_mapping(catalog)
    if now is not None and catalog.recorded_mapping == now.as_json():
        return
    text = sql.SQL(_RECORD).format(
        facts=sql.Identifier(catalog.schema, FACTS_TABLE),
        name=sql.Literal(MAPPING),
        ledger=_literal(sql.Identifier(catalog.schema, LEDGER)),
        tenants=_describe_table(catalog, "tenants", catalog.tenants),
        documents=_describe_table(catalog, "documents", catalog.documents),
    )
    parts = [text.as_string(None).strip()]
    changed = find_differences(catalog)
    if changed:
        events = sql.Identifier(catalog.schema, "s3_migration_events")
        reason = sql.Literal("; ".join(map(str, changed)))
        parts.append(sql.SQL(_TELL).format(events=events, reason=reason).as_string(None))
    yield Statement("the ledger records its tables and columns", ";\n".join(parts))


def _describe_table(catalog: Catalog, role: str, table: Table) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL("({}, {})").format(sql.Literal(column), sql.Literal(catalog.column(role, column)))
        for column in COLUMNS[role]
    )
    return sql.SQL(_TABLE.strip()).format(
        name=sql.Literal(f"{table.schema}.{table.name}"), table=_literal(table.identifier), columns=columns
    )


def _literal(identifier: sql.Identifier) -> sql.Literal:
    return sql.Literal(identifier.as_string(None))
