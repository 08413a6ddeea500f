"""Single facts about the ledger itself, by name, in the table `rehouse_ledger`; values are JSON."""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg import sql

FACTS_TABLE = "rehouse_ledger"
ADDED_COLUMNS = "added_columns"
"""The fact that says which columns `init` added: pairs of the role (tenants, documents) and the column's name."""
ADOPTED_TABLES = "adopted_tables"
"""The fact that says which of the ledger's tables an older tool had made."""
MAPPING = "mapping"
"""The fact that says which tables and columns the ledger was made under."""


def record_items(schema: str, name: str, items: list[Any]) -> str:
    """Return the statement that appends items to a fact that is a list."""
    text = (
        "INSERT INTO {} AS f (name, value) VALUES ({}, {}) ON CONFLICT (name)"
        " DO UPDATE SET value = f.value || excluded.value, updated_at = now()"
    )
    values = (sql.Identifier(schema, FACTS_TABLE), sql.Literal(name), sql.Literal(json.dumps(items)))
    return sql.SQL(text).format(*values).as_string(None)


def read_fact(connection: psycopg.Connection, schema: str, name: str) -> Any:
    """Return a fact of the ledger in a schema, None if it is not recorded; the table must be there."""
    query = sql.SQL("SELECT value FROM {} WHERE name = %s").format(sql.Identifier(schema, FACTS_TABLE))
    row = connection.execute(query, (name,)).fetchone()
    return None if row is None else row[0]
