"""Connections as the ledger makes them, closed at the end, and the application's two tables with a few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from rehouse.config.sections import TableMapping
from rehouse.ledger import catalog, connection
from rehouse.ledger.catalog import Catalog

Opener = Callable[[str], psycopg.Connection]


@pytest.fixture
def opened() -> Iterator[Opener]:
    """Return a function that connects as the ledger does."""
    with ExitStack() as stack:

        def make(url: str) -> psycopg.Connection:
            made = connection.connect(url)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def look() -> Callable[[psycopg.Connection], Catalog]:
    """Return a function that reads the catalog under the default mapping."""
    return lambda made: catalog.read(made, TableMapping())
