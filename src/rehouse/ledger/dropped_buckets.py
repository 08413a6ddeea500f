"""Read from the ledger's history which shared buckets `cleanup --drop-bucket` removed.

The history names a bucket before it is deleted, so that it also has the bucket if a run was killed in between. Only S3 knows
whether the bucket still exists.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import psycopg

from rehouse.config import Settings, name_setting
from rehouse.core.errors import ConfigurationError, DatabaseRefused
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.connection import connect_with, translate_error
from rehouse.ledger.queries import fill
from rehouse.ledger.queries import sources as statements
from rehouse.ledger.rows import rows_of

REMOVING, REMOVED = "shared_bucket_removing", "shared_bucket_removed"
"""The events of the history: before a bucket is deleted, and afterwards."""


class DroppedBuckets(NamedTuple):
    """The shared buckets that were removed, with the meaning of a NULL bucket first, and some homes of tenants."""

    buckets: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()


def read_dropped_buckets(connection: psycopg.Connection, catalog: Catalog) -> tuple[str, ...]:
    """Return the shared buckets that were removed, as the ledger of this database records; none if there is no ledger."""
    return _buckets(connection, catalog, "buckets_dropped")


def read_dropped(settings: Settings) -> DroppedBuckets:
    """Connect and return what the ledger records. Raises DatabaseRefused if PostgreSQL cannot be used."""
    try:
        with connect_with(settings) as connection:
            catalog = read(connection, settings.mapping, partial(name_setting, settings))
            return DroppedBuckets(
                read_dropped_buckets(connection, catalog), _buckets(connection, catalog, "homes_in_use")
            )
    except psycopg.Error as error:
        raise translate_error(error) from error


def _buckets(connection: psycopg.Connection, catalog: Catalog, query: str) -> tuple[str, ...]:
    if not {"s3_migration_events", "s3_migrations"} <= catalog.own.keys():
        return ()
    rows = rows_of(connection, fill(statements()[query], catalog), {"events": [REMOVING, REMOVED]})
    return tuple(str(row.bucket) for row in rows)


def require_places(settings: Settings) -> Settings:
    """Return the settings; if no shared bucket is set, with those that the ledger records as removed.

    Raises ConfigurationError if the database is not set, or if no shared bucket is set and the ledger records none.
    """
    if settings.shared_bucket or settings.database_url is None:
        settings.require_places()
        return settings
    try:
        dropped = read_dropped(settings)
    except DatabaseRefused as error:
        raise ConfigurationError(
            f"REHOUSE_SHARED_BUCKET is not set, and the ledger cannot be asked for removed buckets: {error.message}",
            hint=error.hint,
            subject="shared_bucket",
        ) from None
    settings = add_dropped(settings, dropped.buckets)
    settings.require_places()
    return settings


def add_dropped(settings: Settings, buckets: tuple[str, ...]) -> Settings:
    """Return the settings with these buckets as removed ones. If no shared bucket is set, these were the shared buckets."""
    update = {"shared_bucket": settings.shared_bucket or buckets, "dropped_buckets": buckets}
    return settings.model_copy(update=update)
