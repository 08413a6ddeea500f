"""Do the application's columns hold the names of the new buckets and the new keys?

A name that does not fit is found out here, and not by the update that points a tenant to its bucket.
"""

from __future__ import annotations

from collections.abc import Iterable

from rehouse.config import Settings
from rehouse.core.mapping import LONGEST_ETAG, SHORTEST_ETAG
from rehouse.core.naming import MAX_BUCKET_NAME, MAX_NAME_BYTES, SUFFIX_DIGITS, bucket_name
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.inspection import Inspection
from rehouse.operations.checks.check import Check, failed, notice, ok

ROOM = "database: room for names and keys"
SHORTEST_KEY = 100
"""`documents/`, an id as its digest (71 characters), and a name that can still be told from others."""
LONGEST_KEY = len("documents//") + 71 + MAX_NAME_BYTES
"""Beyond this no key of ours ever grows: a longer name is cut anyway."""


def check_room(inspection: Inspection, found: Catalog, settings: Settings) -> Check:
    """Return whether the three columns that a migration writes are long enough."""
    columns = (
        found.column("tenants", "aws_bucket_name"),
        found.column("documents", "s3_bucket"),
        found.column("documents", "s3_key"),
    )
    home, bucket, key = (
        f"{table.name}.{column}"
        for table, column in zip((found.tenants, found.documents, found.documents), columns, strict=True)
    )
    needed = _longest_name(inspection, found, settings)
    shared = max(map(len, settings.require_shared_buckets()))
    short = [
        *_short(home, found.home_max_length, needed, MAX_BUCKET_NAME),
        *_short(bucket, found.bucket_max_length, max(needed, shared), MAX_BUCKET_NAME),
        *_short(key, found.key_max_length, SHORTEST_KEY, LONGEST_KEY),
        *_short(*_etag(found), SHORTEST_ETAG, LONGEST_ETAG),
    ]
    hint = "; ".join(f"make {column} a varchar({wanted}) or longer" for column, _, wanted, _ in short)
    told = ", ".join(f"{column} holds {length} characters" for column, length, _, _ in short)
    if any(too_short for *_, too_short in short):
        return failed(ROOM, told, hint)
    if short:
        return notice(ROOM, f"{told}: enough for now; longer slugs would not fit, longer file names are cut", hint)
    return ok(ROOM, f"{home}, {bucket} and {key} are long enough")


def _etag(found: Catalog) -> tuple[str, int | None]:
    name = found.column("documents", "etag")
    column = found.documents.columns.get(name)
    return f"{found.documents.name}.{name}", column.max_length if column else None


def _short(column: str, length: int | None, needed: int, wanted: int) -> Iterable[tuple[str, int, int, bool]]:
    """The column, its length, the length that suffices for all, and whether it is too short already."""
    if length is not None and length < wanted:
        yield column, length, wanted, length < needed


def _longest_name(inspection: Inspection, found: Catalog, settings: Settings) -> int:
    if settings.bucket_namespace != "global":
        return MAX_BUCKET_NAME
    suffix = "0" * SUFFIX_DIGITS
    return max(
        (len(bucket_name(settings.bucket_prefix, label, suffix)) for label in inspection.labels(found)), default=0
    )
