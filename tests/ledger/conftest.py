"""Connections as the ledger makes them, closed at the end, and the application's two tables with a few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest
from tests.support.rows import add_tenants

from rehouse.config.sections import TableMapping
from rehouse.ledger import catalog, schema
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.connection import connect

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Return a function that connects as the ledger does."""
    with ExitStack() as stack:

        def make(url: str) -> psycopg.Connection:
            made = connect(url)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def look() -> Look:
    """Return a function that reads the catalog under the default mapping."""
    return lambda made: catalog.read(made, TableMapping())


@pytest.fixture
def connection(application_database: str, opened: Opener, look: Look) -> psycopg.Connection:
    """A connection to a database that counts the usage of three tenants: a, b and c."""
    made = opened(application_database)
    add_tenants(made, "a", "b", "c")
    schema.upgrade(made, look(made))
    return made
