"""The ledger's schema in one database: bring it up to date, or print the DDL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

import psycopg
from psycopg import sql

from rehouse.config import Settings, name_setting
from rehouse.ledger import schema
from rehouse.ledger.belonging import refuse_other_mapping
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.connection import connect_with
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.identity import refuse_ambiguous
from rehouse.ledger.rows import value_of
from rehouse.ledger.schema.statement import POLITE_MS


@dataclass(frozen=True, slots=True)
class Installation:
    """One database and the parts of the ledger in it."""

    connection: psycopg.Connection
    catalog: Catalog
    lock_timeout_ms: int

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, *, accept_mapping: bool = False) -> Iterator[Self]:
        """Connect and read the catalog.

        Raises DatabaseRefused if rows of the application's tables cannot be identified, or if the ledger was made for another
        mapping and `accept_mapping` is False.
        """
        with connect_with(settings) as connection, translate_errors():
            catalog = read(connection, settings.mapping, partial(name_setting, settings))
            refuse_ambiguous(connection, catalog)
            if not accept_mapping:
                refuse_other_mapping(catalog, settings)
            yield cls(connection, catalog, min(settings.lock_timeout_ms, POLITE_MS))

    def upgrade(self) -> list[str]:
        """Bring the schema up to date.

        Return a line for each change, none if it was up to date.
        """
        return schema.upgrade(self.connection, self.catalog, lock_timeout_ms=self.lock_timeout_ms)

    def has_migrations(self) -> bool:
        """Return whether the ledger has a tenant's migration. A ledger that did not exist when this was opened has none."""
        found = self.catalog.own.get("s3_migrations")
        if found is None:
            return False
        return bool(value_of(self.connection, sql.SQL("SELECT EXISTS (SELECT FROM {})").format(found.identifier)))

    def ddl(self) -> str:
        """Return the DDL that `upgrade` would run, without running it."""
        return schema.ddl(self.catalog, lock_timeout_ms=self.lock_timeout_ms)
