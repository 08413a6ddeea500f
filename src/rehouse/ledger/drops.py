"""Before a bucket is removed: what it holds is held against the ledger, all at once, in a temporary table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from rehouse.ledger.run_scope import Fenced


class Held(NamedTuple):
    """A version of an object, a delete marker (no ETag), or an open upload (`version_id` is its upload id)."""

    key: str
    version_id: str
    etag: str | None
    is_current: bool
    is_upload: bool


class Drops(Fenced):
    """What the removal of a tenant's former home reads and writes."""

    def hold(self, found: Iterable[Held]) -> None:
        """Replace what is known of the bucket."""
        with self.connection.transaction():
            self.connection.execute(self.queries["make_versions"])
            self.connection.execute(self.queries["forget_versions"])
            with self.connection.cursor().copy(self.queries["copy_versions"]) as copy:
                for each in found:
                    copy.write_row(each)
            self.connection.execute(self.queries["analyze_versions"])

    def unknown(self) -> list[Held]:
        """Return what no line of the tenant's ledger knows, in order of key."""
        return [Held(str(row[0]), str(row[1]), None, False, bool(row[2])) for row in self.rows("unknown_versions")]

    def versions(self) -> Iterator[Held]:
        """Yield the versions and delete markers."""
        for row in self.stream("versions_held"):
            yield Held(str(row[0]), str(row[1]), row[2], bool(row[3]), False)

    def uploads(self) -> Iterator[Held]:
        """Yield the open uploads."""
        for row in self.stream("uploads_held"):
            yield Held(str(row[0]), str(row[1]), None, False, True)

    def is_anybody_there(self) -> bool:
        """Return whether a row of any tenant points into the bucket."""
        return bool(self.rows("anybody_in_bucket"))

    def last_return(self) -> datetime | None:
        """Return when the last document went back, or the home itself; None if neither is recorded."""
        moment: datetime | None = self.rows("last_return")[0][0]
        return moment

    def forget_home(self) -> None:
        """Write that the bucket is gone, with its name in the history; in one transaction."""
        self._record("forget_home", "bucket_dropped")

    def keep_home(self) -> None:
        """Write that the bucket was emptied and stays the tenant's; in one transaction."""
        self._record("keep_home", "bucket_emptied")

    def _record(self, query: str, event: str) -> None:
        with self.fenced() as cursor:
            cursor.execute(self.queries[query], self.values)
            cursor.execute(
                self.queries["record_event"], {**self.values, "event": event, "reason": self.values["home_bucket"]}
            )
