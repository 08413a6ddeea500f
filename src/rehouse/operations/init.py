"""Create or adopt the ledger's tables in the application's database; run twice it changes nothing."""

from __future__ import annotations

from functools import partial

import psycopg

from rehouse.config import Settings, name_setting
from rehouse.ledger.belonging import refuse_other_mapping
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.connection import connect_with
from rehouse.ledger.identity import refuse_ambiguous
from rehouse.ledger.ledger import translating
from rehouse.ledger.schema import ddl, upgrade
from rehouse.ledger.schema.statement import POLITE_MS


def initialise(settings: Settings, *, accept_mapping: bool = False) -> list[str]:
    """Bring the schema up to date; return a line for each thing that changed, none if nothing had to.

    Raises DatabaseRefused, before anything changes, where rows of the application's tables cannot be told apart, and, unless
    `accept_mapping`, where the ledger was made under another mapping.
    """
    with connect_with(settings) as connection, translating():
        found = _checked(connection, settings, accept_mapping=accept_mapping)
        return upgrade(connection, found, lock_timeout_ms=min(settings.lock_timeout_ms, POLITE_MS))


def statements(settings: Settings, *, accept_mapping: bool = False) -> str:
    """Return the DDL that `initialise` would run, for a DBA; reads the database and runs nothing."""
    with connect_with(settings) as connection, translating():
        found = _checked(connection, settings, accept_mapping=accept_mapping)
        return ddl(found, lock_timeout_ms=min(settings.lock_timeout_ms, POLITE_MS))


def _checked(connection: psycopg.Connection, settings: Settings, *, accept_mapping: bool) -> Catalog:
    found = read(connection, settings.mapping, partial(name_setting, settings))
    refuse_ambiguous(connection, found)
    if not accept_mapping:
        refuse_other_mapping(found, settings)
    return found
