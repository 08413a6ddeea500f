"""Facts about the ledger itself, in the table `rehouse_ledger`: name → JSON value."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg import sql

FACTS_TABLE = "rehouse_ledger"
ADDED_COLUMNS = "added_columns"
"""The columns that `init` added: pairs of role (tenants, documents) and column name."""
ADOPTED_TABLES = "adopted_tables"
"""The ledger's tables that an older tool had created."""
MAPPING = "mapping"
"""The tables and columns for which the ledger was made."""


def record_items(schema: str, name: str, items: list[Any]) -> str:
    """Return the statement that appends items to a fact whose value is a list."""
    text = (
        "INSERT INTO {} AS f (name, value) VALUES ({}, {}) ON CONFLICT (name)"
        " DO UPDATE SET value = f.value || excluded.value, updated_at = now()"
    )
    values = (sql.Identifier(schema, FACTS_TABLE), sql.Literal(name), sql.Literal(json.dumps(items)))
    return sql.SQL(text).format(*values).as_string(None)


def read_fact(connection: psycopg.Connection, schema: str, name: str) -> Any:
    """Return a fact of the ledger in a schema, None if it is not recorded.

    The table must exist.
    """
    query = sql.SQL("SELECT value FROM {} WHERE name = %s").format(sql.Identifier(schema, FACTS_TABLE))
    row = connection.execute(query, (name,)).fetchone()
    return None if row is None else row[0]
