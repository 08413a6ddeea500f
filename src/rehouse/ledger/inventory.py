"""The objects that this run saw in S3: filled from listings and HEADs, and joined with the documents in SQL.

They are in the unlogged table `s3_inventory` under the run's id, or in a temporary table of that name if the command must not
write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

import psycopg

from rehouse.core.model import ListedObject
from rehouse.ledger.queries import Queries
from rehouse.ledger.rows import Row, object_of, rows_of, rows_of_whole

_TYPES = ("uuid", "text", "text", "text", "int8", "text", "timestamptz")
"""The types of `copy_inventory`, because a listing is written in PostgreSQL's binary format (5 times as fast as text)."""
TOGETHER = 5000
"""How many objects of a listing are written at once: five pages. Writing page by page would take twice as long."""
ENDS = 8
"""How many characters at the end of a key are compared first, before the whole key."""
_PUT = ("keys", "etags", "sizes", "storage_classes", "times")
"""The parameters of `put_objects`, in the order of `_columns`."""


class Known(NamedTuple):
    """An object of the inventory, and whether rows of two tenants point to it."""

    object: ListedObject
    contested: bool


class Inventory:
    """The inventory of one run. Sizes are bytes; keys are in UTF-8 byte order."""

    def __init__(self, connection: psycopg.Connection, queries: Queries, run_id: str, default_bucket: str) -> None:
        self._connection = connection
        self._queries = queries
        self._run = {"run_id": run_id, "default_bucket": default_bucket}

    def begin(self) -> None:
        """Mark the inventory as in use by this run, with a row without a bucket.

        A run that empties the inventory removes the mark as well.
        """
        self._connection.execute(self._queries["mark_inventory"], self._run)

    def is_kept(self) -> bool:
        """Return whether the mark still exists, so that no other run has emptied this run's inventory."""
        return self._connection.execute(self._queries["inventory_mark"], self._run).fetchone() is not None

    def load(self, bucket: str, pages: Iterable[Sequence[ListedObject]]) -> int:
        """Replace the inventory of a bucket with a listing; return the number of pages.

        Each transaction writes `TOGETHER` objects, and none waits for S3. A listing that fails leaves no objects. If the process is
        killed, nothing reads the objects that it leaves, because its run is dead.
        """
        where = {**self._run, "bucket": bucket}
        self._connection.execute(self._queries["forget_bucket"], where)
        count, listed = 0, list[ListedObject]()
        try:
            for page in pages:
                count += 1
                listed += page
                if len(listed) >= TOGETHER:
                    self._take(bucket, listed)
                    listed = []
            self._take(bucket, listed)
        except BaseException:
            with suppress(psycopg.Error):
                self._connection.execute(self._queries["forget_bucket"], where)
            raise
        return max(1, count)

    def _take(self, bucket: str, listed: Sequence[ListedObject]) -> None:
        if not listed:
            return
        run_id = UUID(self._run["run_id"])
        with self._connection.cursor().copy(self._queries["copy_inventory"]) as copy:
            copy.set_types(_TYPES)
            for found in listed:
                copy.write_row((run_id, bucket, *_columns(found)))

    def put(self, bucket: str, found: Iterable[ListedObject], gone: Iterable[str] = ()) -> None:
        """Record the results of HEADs: objects as they are now, and keys without an object."""
        there = [list(column) for column in zip(*map(_columns, found), strict=True)]
        missing = list(gone)
        where = {**self._run, "bucket": bucket}
        with self._connection.transaction():
            if there:
                self._connection.execute(self._queries["put_objects"], where | dict(zip(_PUT, there, strict=True)))
            if missing:
                self._connection.execute(self._queries["forget_objects"], {**where, "keys": missing})

    def find_known(self, bucket: str, keys: Sequence[str]) -> dict[str, Known]:
        """Return key → known object; a key without an entry was not seen."""
        rows = self._rows("objects_among", bucket=bucket, keys=list(keys))
        return {row.key: Known(found, row.contested) for row in rows if (found := object_of(row, row.key))}

    def mark_contested(self) -> None:
        """Mark the objects that two tenants claim as contested."""
        with self._connection.transaction():
            self._connection.execute(self._queries["prepare_stream"])
            self._connection.execute(self._queries["mark_contested"], self._run)

    def mark_contested_among(self, bucket: str, keys: Sequence[str]) -> None:
        """Mark those of a bucket's keys that two tenants claim as contested."""
        self._connection.execute(
            self._queries["mark_contested_among"], {**self._run, "bucket": bucket, "keys": list(keys)}
        )

    def find_claimed(self, bucket: str, keys: Sequence[str]) -> set[str]:
        """Return those of a bucket's keys to which any row points, or from which a document was moved."""
        return {row.key for row in self._rows("claimed_among", bucket=bucket, keys=list(keys))}

    def find_by_ending(self, bucket: str, keys: Sequence[str], limit: int) -> list[tuple[str, str]]:
        """Return pairs (one of these keys, key of an object that ends with a slash and it), at most `limit`.

        This reads the bucket's inventory once. It skips keys shorter than `ENDS` characters, which too many others would match.
        """
        long_enough = [key for key in keys if len(key) >= ENDS]
        values = {"bucket": bucket, "keys": long_enough, "characters": ENDS, "limit": limit}
        ends = sorted({key[-ENDS:] for key in long_enough})
        return [(row.key, row.there) for row in self._rows("objects_ending_in", **values, ends=ends)]

    def count_range(self, bucket: str, first: str, last: str, limit: int) -> int:
        """Return how many objects have keys from `first` to `last`, both included.

        Stop counting at `limit`.
        """
        [found] = self._rows("count_range", bucket=bucket, first=first, last=last, limit=limit)
        return int(found.count)

    def totals(self, bucket: str) -> tuple[int, int]:
        """Return (objects, bytes) of a bucket in the inventory."""
        [found] = self._rows("inventory_totals", bucket=bucket)
        return int(found.objects), int(found.bytes)

    def orphans(self, bucket: str) -> list[tuple[str, int]]:
        """Return (key, bytes) of every object to which no row points."""
        rows = rows_of_whole(self._connection, self._queries, "orphans", {**self._run, "bucket": bucket})
        return [(row.key, row.size) for row in rows]

    def runs(self) -> list[str]:
        """Return the ids of the runs that have an inventory."""
        return [str(row.run_id) for row in self._rows("runs_in_inventory")]

    def forget(self, run_id: str) -> None:
        """Delete the inventory of a dead run."""
        self._connection.execute(self._queries["forget_run"], {"run_id": run_id})

    def clear(self) -> None:
        """Delete this run's inventory; truncate the table if no other run has one."""
        in_use, no_right = psycopg.errors.LockNotAvailable, psycopg.errors.InsufficientPrivilege
        with suppress(in_use, no_right), self._connection.transaction():
            self._connection.execute(self._queries["lock_inventory"])
            if self._connection.execute(self._queries["other_runs"], self._run).fetchone() is None:
                self._connection.execute(self._queries["empty_inventory"])
                return
        self._connection.execute(self._queries["forget_run"], self._run)

    def _rows(self, name: str, **values: object) -> list[Row]:
        return rows_of(self._connection, self._queries[name], {**self._run, **values})


def _columns(found: ListedObject) -> tuple[object, ...]:
    return (found.key, found.etag, found.size, found.storage_class, found.modified_at)
