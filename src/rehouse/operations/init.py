"""Create or adopt the ledger's tables in the application's database; run twice it changes nothing."""

from __future__ import annotations

from rehouse.config import Settings
from rehouse.ledger.catalog import read
from rehouse.ledger.connection import connect
from rehouse.ledger.ledger import translating
from rehouse.ledger.schema import ddl, upgrade


def initialise(settings: Settings) -> list[str]:
    """Bring the schema up to date; return a line for each thing that changed, none if nothing had to."""
    with connect(settings.require_database_url()) as connection, translating():
        return upgrade(connection, read(connection, settings.mapping), lock_timeout_ms=settings.lock_timeout_ms)


def statements(settings: Settings) -> str:
    """Return the DDL that `initialise` would run, for a DBA; reads the database and runs nothing."""
    with connect(settings.require_database_url()) as connection, translating():
        return ddl(read(connection, settings.mapping), lock_timeout_ms=settings.lock_timeout_ms)
