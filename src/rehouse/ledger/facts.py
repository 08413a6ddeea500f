"""Single facts about the ledger itself, by name, in the table `rehouse_ledger`; values are JSON."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

FACTS_TABLE = "rehouse_ledger"
MAPPING = "mapping"
"""The fact that says which tables and columns the ledger was made under."""


def read_fact(connection: psycopg.Connection, schema: str, name: str) -> Any:
    """Return a fact of the ledger in a schema, None if it is not recorded; the table must be there."""
    query = sql.SQL("SELECT value FROM {} WHERE name = %s").format(sql.Identifier(schema, FACTS_TABLE))
    row = connection.execute(query, (name,)).fetchone()
    return None if row is None else row[0]
