"""The function that the storage of the application asks before it deletes an object. Its tables are in tables.py."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.queries import sources
from rehouse.ledger.schema.statement import Statement
from rehouse.ledger.schema.tables import render

FUNCTION = "rehouse_is_pointed_at"


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statement that creates the function, unless it is there as it must be."""
    text = render(sources()[FUNCTION], catalog)
    digest = hashlib.md5(text.split("$rehouse$")[1].encode(), usedforsecurity=False).hexdigest()
    if f"{FUNCTION}:{digest}" not in catalog.procedures:
        yield Statement("the function that finds the rows of an object", text)
