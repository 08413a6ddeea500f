"""Usage between commands: pending deltas and the rows of each month.

The database computes them (sql/usage.sql).
"""

from __future__ import annotations

from typing import NamedTuple

import psycopg

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.faults import translate_error
from rehouse.ledger.queries import load
from rehouse.ledger.rows import rows_of, value_of

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
        [found] = rows_of(connection, queries["unsettled_usage"], names)
        if found.unsettled and found.may_settle:
            connection.execute(queries["settle_usage"])
    except psycopg.errors.InsufficientPrivilege:
        return 0
    except psycopg.Error as error:
        raise translate_error(error) from error
    return int(found.unsettled) if found.may_settle else 0


def usage_state(connection: psycopg.Connection, catalog: Catalog) -> UsageState | None:
    """Return what is pending and what failed; None before `init`."""
    if not catalog.own.keys() >= _TABLES:
        return None
    queries = load(catalog)
    try:
        pending = int(value_of(connection, queries["pending_usage"]))
        faults = rows_of(connection, queries["usage_faults"])
    except psycopg.Error as error:
        raise translate_error(error) from error
    return UsageState(pending, [(str(row.step), str(row.code), str(row.message)) for row in faults])
