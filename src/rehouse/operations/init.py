"""Create or adopt the ledger's tables in the application's database. A second run changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from rehouse.config import Settings
from rehouse.ledger.installation import Installation


class Initialised(NamedTuple):
    """What `initialise` did. `changed`: a line for each change. `has_migrations`: tenants' migrations are in the ledger already."""

    changed: list[str]
    has_migrations: bool


def initialise(settings: Settings, *, accept_mapping: bool = False) -> Initialised:
    """Bring the schema up to date.

    Raises DatabaseRefused, before anything changes, if rows of the application's tables are not unique, and, unless
    `accept_mapping`, if the ledger was made for another mapping.
    """
    with Installation.open(settings, accept_mapping=accept_mapping) as installation:
        return Initialised(installation.upgrade(), installation.has_migrations())


def statements(settings: Settings, *, accept_mapping: bool = False) -> str:
    """Return the DDL that `initialise` would run, for a DBA; read the database and run nothing."""
    with Installation.open(settings, accept_mapping=accept_mapping) as installation:
        return installation.ddl()
