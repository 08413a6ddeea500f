"""Create or adopt the ledger's tables in the application's database; run twice it changes nothing."""

from __future__ import annotations

from rehouse.config import Settings
from rehouse.ledger.catalog import read
from rehouse.ledger.connection import connect
from rehouse.ledger.identity import refuse_ambiguous
from rehouse.ledger.ledger import translating
from rehouse.ledger.schema import ddl, upgrade


def initialise(settings: Settings) -> list[str]:
    """Bring the schema up to date; return a line for each thing that changed, none if nothing had to.

    Raises DatabaseRefused, before anything changes, where rows of the application's tables cannot be told apart.
    """
    with connect(settings.require_database_url()) as connection, translating():
        found = read(connection, settings.mapping)
        refuse_ambiguous(connection, found)
        return upgrade(connection, found, lock_timeout_ms=settings.lock_timeout_ms)


def statements(settings: Settings) -> str:
    """Return the DDL that `initialise` would run, for a DBA; reads the database and runs nothing."""
    with connect(settings.require_database_url()) as connection, translating():
        found = read(connection, settings.mapping)
        refuse_ambiguous(connection, found)
        return ddl(found, lock_timeout_ms=settings.lock_timeout_ms)
