"""Check that ids are unique: an id must identify one tenant, and (tenant, id) one document.

Only a unique index proves that. Without one, a statement for one document may write the row of another.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.relations import Table


@dataclass(frozen=True, slots=True)
class Ambiguity:
    """A table whose ids may not be unique: what is wrong, and the statement that fixes it."""

    message: str
    hint: str


def find_ambiguities(connection: psycopg.Connection, catalog: Catalog) -> list[Ambiguity]:
    """Return why rows of the mapped tables cannot be identified; empty if every row can."""
    tenant_id, key = catalog.column("tenants", "id"), catalog.column("documents", "id")
    owner = catalog.column("documents", "tenant_id")
    found = []
    if not catalog.tenants.has_index(tenant_id, unique=True):
        found.append(_missing_index(catalog.tenants, (tenant_id,), "tenants_id_unique"))
    if not (catalog.ids_are_unique or catalog.documents.has_index(owner, key, unique=True)):
        found.append(_missing_index(catalog.documents, (owner, key), "documents_tenant_id_unique"))
    if not catalog.documents.columns[key].is_required and _has_nulls(connection, catalog.documents, key):
        name = catalog.documents.name
        found.append(
            Ambiguity(
                f"{name} has rows whose {key} is NULL: they cannot be identified",
                f"give each an id, then ALTER TABLE {_sql(catalog.documents.identifier)} "
                f"ALTER COLUMN {_sql(sql.Identifier(key))} SET NOT NULL",
            )
        )
    return found


def refuse_ambiguous(connection: psycopg.Connection, catalog: Catalog) -> None:
    """Raise DatabaseRefused, with the table and the index to create, if a row cannot be identified."""
    found = find_ambiguities(connection, catalog)
    if found:
        raise DatabaseRefused("; ".join(each.message for each in found), hint="; ".join(each.hint for each in found))


def _missing_index(table: Table, columns: tuple[str, ...], name: str) -> Ambiguity:
    listed = _sql(sql.SQL(", ").join(map(sql.Identifier, columns)))
    shown = ", ".join(columns)
    message = f"{table.name} has no valid unique index on ({shown}): two rows may have the same values"
    if table.is_partitioned:
        hint = (
            f"CREATE UNIQUE INDEX {name} ON {_sql(table.identifier)} ({listed}); "
            "PostgreSQL allows it only if these columns include the partition key"
        )
        return Ambiguity(message, hint)
    return Ambiguity(message, f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {_sql(table.identifier)} ({listed})")


def _has_nulls(connection: psycopg.Connection, table: Table, column: str) -> bool:
    query = sql.SQL("SELECT 1 FROM {} WHERE {} IS NULL LIMIT 1").format(table.identifier, sql.Identifier(column))
    return connection.execute(query).fetchone() is not None


def _sql(part: sql.Composable) -> str:
    return part.as_string(None)
