"""Create or adopt the ledger's tables in the application's database; run twice it changes nothing."""

from __future__ import annotations

from rehouse.config import Settings
from rehouse.ledger.installation import Installation


def initialise(settings: Settings, *, accept_mapping: bool = False) -> list[str]:
    """Bring the schema up to date; return a line for each thing that changed, none if nothing had to.

    Raises DatabaseRefused, before anything changes, where rows of the application's tables cannot be told apart, and, unless
    `accept_mapping`, where the ledger was made under another mapping.
    """
    with Installation.open(settings, accept_mapping=accept_mapping) as installation:
        return installation.upgrade()


def statements(settings: Settings, *, accept_mapping: bool = False) -> str:
    """Return the DDL that `initialise` would run, for a DBA; read the database and run nothing."""
    with Installation.open(settings, accept_mapping=accept_mapping) as installation:
        return installation.ddl()
