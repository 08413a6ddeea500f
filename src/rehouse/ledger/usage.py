"""Usage between commands: the months' rows. Their arithmetic is the triggers' (sql/usage.sql)."""

from __future__ import annotations

from typing import cast

import psycopg

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.faults import translated
from rehouse.ledger.queries import load


def roll_months(connection: psycopg.Connection, catalog: Catalog) -> int:
    """Make this month's and next month's rows (UTC) from each tenant's last level; return for how many tenants.

    Does nothing before `init`, or where this role may not write. The connection must be in no transaction.
    """
    if "tenant_usage" not in catalog.own or catalog.version is None:
        return 0
    queries = load(catalog)
    usage = {"usage": catalog.own["tenant_usage"].identifier.as_string(connection)}
    try:
        row = connection.execute(queries["tenants_without_month"], usage).fetchone()
        lacking, may_write = cast("tuple[int, bool]", row)
        if lacking and may_write:
            connection.execute(queries["roll_months"])
    except psycopg.Error as error:
        raise translated(error) from error
    return lacking if may_write else 0
