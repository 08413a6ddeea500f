"""Usage between commands: pending deltas and the rows of each month.

The database computes them (sql/usage.sql).
"""

from __future__ import annotations

from typing import NamedTuple, cast

import psycopg

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.faults import translated
from rehouse.ledger.queries import load

_TABLES = frozenset({"tenant_usage", "rehouse_usage_deltas", "rehouse_usage_faults"})


class UsageState(NamedTuple):
    """How many deltas are pending, and the faults of the triggers: (step, code, message)."""

    pending: int
    faults: list[tuple[str, str, str]]


def settle_usage(connection: psycopg.Connection, catalog: Catalog) -> int:
    """Fold pending deltas and create the rows of this and next month (UTC).

    Return how many tenants needed that. It does nothing before `init`, or if this role may not write. The connection must not
    be in a transaction.
    """
    if not catalog.own.keys() >= _TABLES or catalog.version is None:
        return 0
    queries = load(catalog)
    names = {
        "usage": catalog.own["tenant_usage"].identifier.as_string(connection),
        "deltas": catalog.own["rehouse_usage_deltas"].identifier.as_string(connection),
    }
    try:
        row = connection.execute(queries["unsettled_usage"], names).fetchone()
        unsettled, may_write = cast("tuple[int, bool]", row)
        if unsettled and may_write:
            connection.execute(queries["settle_usage"])
    except psycopg.errors.InsufficientPrivilege:
        return 0
    except psycopg.Error as error:
        raise translated(error) from error
    return unsettled if may_write else 0


def usage_state(connection: psycopg.Connection, catalog: Catalog) -> UsageState | None:
    """Return what is pending and what failed; None before `init`."""
    if not catalog.own.keys() >= _TABLES:
        return None
    queries = load(catalog)
    try:
        (pending,) = cast("tuple[int]", connection.execute(queries["pending_usage"]).fetchone())
        faults = connection.execute(queries["usage_faults"]).fetchall()
    except psycopg.Error as error:
        raise translated(error) from error
    return UsageState(pending, [(str(step), str(code), str(message)) for step, code, message in faults])
