"""The ledger's tables as they are in the application's database, opened to be brought up to date or to be printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self

import psycopg

from rehouse.config import Settings, name_setting
from rehouse.ledger import schema
from rehouse.ledger.belonging import refuse_other_mapping
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.connection import connect_with
from rehouse.ledger.identity import refuse_ambiguous
from rehouse.ledger.ledger import translating
from rehouse.ledger.schema.statement import POLITE_MS


@dataclass(frozen=True, slots=True)
class Installation:
    """One database, and what of the ledger is there."""

    connection: psycopg.Connection
    catalog: Catalog
    lock_timeout_ms: int

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, *, accept_mapping: bool = False) -> Iterator[Self]:
        """Connect and read what is there.

        Raises DatabaseRefused where rows of the application's tables cannot be told apart, and, unless `accept_mapping`, where
        the ledger was made under another mapping.
        """
        with connect_with(settings) as connection, translating():
            catalog = read(connection, settings.mapping, partial(name_setting, settings))
            refuse_ambiguous(connection, catalog)
            if not accept_mapping:
                refuse_other_mapping(catalog, settings)
            yield cls(connection, catalog, min(settings.lock_timeout_ms, POLITE_MS))

    def upgrade(self) -> list[str]:
        """Bring the schema up to date; return a line for each thing that changed, none if nothing had to."""
        return schema.upgrade(self.connection, self.catalog, lock_timeout_ms=self.lock_timeout_ms)

    def ddl(self) -> str:
        """Return the DDL that `upgrade` would run; run nothing."""
        return schema.ddl(self.catalog, lock_timeout_ms=self.lock_timeout_ms)
