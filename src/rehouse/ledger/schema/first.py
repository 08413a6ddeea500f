"""All statements of the newest revision, in order: our tables, an older tool's tables, documents, uploads, usage.

They are made from the catalog and add only what is missing, so there are none for a complete database.
"""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.schema import belonging, documents, older_tool, tables, uploads, usage
from rehouse.ledger.schema.statement import Statement


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements that add what is missing.

    Raises DatabaseRefused if an existing table cannot be adopted.
    """
    yield from tables.statements(catalog)
    yield from older_tool.statements(catalog)
    yield from documents.statements(catalog)
    yield from uploads.statements(catalog)
    yield from usage.statements(catalog)
    yield from belonging.statements(catalog)
