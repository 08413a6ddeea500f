"""The functions of the application's storage: what it asks before it deletes an object, and what fills in a file's bucket.

Its tables are in tables.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.queries import sources
from rehouse.ledger.schema.statement import Manner, Statement
from rehouse.ledger.schema.tables import render

FUNCTION = "rehouse_is_pointed_at"
BUCKET_FUNCTION = "rehouse_fill_bucket"
BUCKET_TRIGGERS = frozenset({"rehouse_bucket_insert", "rehouse_bucket_update"})
"""The triggers on documents that the setting `mapping.documents.by_key` wants."""


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements that create the functions and triggers, unless they are there as they must be."""
    yield from _function(catalog, FUNCTION, "the function that finds the rows of an object")
    if catalog.mapping.documents.by_key:
        yield from _function(catalog, BUCKET_FUNCTION, "the function that fills in the buckets of files")
        if not catalog.documents.triggers >= BUCKET_TRIGGERS:
            table = catalog.documents.identifier.as_string(None)
            text = render(sources()["bucket_triggers"], catalog)
            yield Statement("the buckets of files are filled in", text, Manner.POLITE, table)


def _function(catalog: Catalog, name: str, change: str) -> Iterator[Statement]:
    text = render(sources()[name], catalog)
    digest = hashlib.md5(text.split("$rehouse$")[1].encode(), usedforsecurity=False).hexdigest()
    if f"{name}:{digest}" not in catalog.procedures:
        yield Statement(change, text)
