"""Create the application's schema and the tables of an older migration tool, for integer and uuid tenant ids."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

import psycopg

TenantIdType = Literal["integer", "uuid"]

_KEYS = {"integer": "serial", "uuid": "uuid DEFAULT gen_random_uuid()"}


def create_application(connection: psycopg.Connection[tuple[object, ...]], tenant_id: TenantIdType) -> None:
    """Create the tables `tenants` and `documents`, without rows."""
    _run(connection, "application", tenant_id)


def create_older_tool(connection: psycopg.Connection[tuple[object, ...]], tenant_id: TenantIdType) -> None:
    """Create the older tool's tables and trigger, without rows.

    The application's tables must exist.
    """
    _run(connection, "older_tool", tenant_id)


def insert_older_rows(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Insert the rows that the older tool wrote about the sample's tenants.

    Skip tenants that do not exist.
    """
    _run(connection, "older_tool_rows", "integer")


def _run(connection: psycopg.Connection[tuple[object, ...]], name: str, tenant_id: TenantIdType) -> None:
    text = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    # The text is our own file with two fixed words and no user input. Without parameters it may hold many statements.
    statements = text.replace("__tenant_key__", _KEYS[tenant_id]).replace("__tenant_id__", tenant_id)
    connection.execute(statements.encode())
