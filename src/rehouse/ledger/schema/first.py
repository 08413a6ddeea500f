"""What the newest revision brings, in order: our tables, what an older tool left, the documents' columns and indexes, the usage.

Built from the catalog, so only what is missing is in it: on a database that has everything it is empty.
"""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.schema import belonging, documents, older_tool, tables, usage
from rehouse.ledger.schema.statement import Statement


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield what is missing. Raises DatabaseRefused where a table that exists cannot be adopted."""
    yield from tables.statements(catalog)
    yield from older_tool.statements(catalog)
    yield from documents.statements(catalog)
    yield from usage.statements(catalog)
    yield from belonging.statements(catalog)
