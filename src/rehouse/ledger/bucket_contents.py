"""Compare a bucket with the ledger: the objects left in a shared bucket, and the versions in a former home."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from rehouse.core.lifecycle import Phase
from rehouse.core.model import TenantId
from rehouse.ledger.dropped_buckets import REMOVED, REMOVING
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.rows import Row, plain_id, rows_of_whole
from rehouse.ledger.run_scope import RunScope


class Leftover(NamedTuple):
    """Objects of one tenant that are left in a bucket for the same reason.

    `slug` and `tenant_id` are None if they belong to no tenant; `phase` is that tenant's. `size` is in bytes. `examples` are the
    first keys.
    """

    category: str
    slug: str | None
    tenant_id: TenantId | None
    phase: Phase | None
    code: str | None
    objects: int
    size: int
    examples: tuple[str, ...]


class RowsIn(NamedTuple):
    """Rows of one tenant (None: without a tenant) that point into a bucket, how many have no object, examples of these."""

    slug: str | None
    tenant_id: TenantId | None
    rows: int
    without_object: int
    examples: tuple[str, ...]


class Needs(NamedTuple):
    """Who needs a shared bucket: tenants that are not finished, rows that point into it, tenants whose home it is."""

    not_finished: tuple[str, ...]
    rows_by_tenant: tuple[RowsIn, ...]
    homes: tuple[str, ...]

    @property
    def rows_in_all(self) -> int:
        """How many rows point into the bucket."""
        return sum(each.rows for each in self.rows_by_tenant)


class Leftovers:
    """One shared bucket in one run, whose inventory must hold a listing of the bucket."""

    def __init__(self, ledger: Ledger, bucket: str, default_bucket: str) -> None:
        self._ledger = ledger
        self._values = {"run_id": ledger.run_id, "bucket": bucket, "default_bucket": default_bucket}

    def group(self, stays: Mapping[str, str]) -> list[Leftover]:
        """Return the objects in the bucket, grouped by reason and tenant; `stays`: key → why `finish` leaves this source."""
        rows = self._rows_of_whole("leftovers", stay_keys=list(stays), stay_reasons=list(stays.values()))
        called = {tenant.id: tenant.slug for tenant in self._ledger.tenants()}
        found = [_leftover(row, called) for row in rows]
        return sorted(found, key=lambda each: (each.category, each.slug or "\uffff", each.code or "\uffff"))

    def needs(self) -> Needs:
        """Return who needs the bucket. A row has no object if the run's inventory does not have it."""
        called = {tenant.id: tenant.slug for tenant in self._ledger.tenants()}
        waiting, at_home = (
            self._ledger.addresses_of(row.tenant_id for row in self._rows(name))
            for name in ("tenants_not_finished", "tenants_at")
        )
        return Needs(
            tuple(waiting), tuple(_rows_in(row, called) for row in self._rows_of_whole("rows_in")), tuple(at_home)
        )

    def find_removed(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that are sources which rehouse removed from the bucket."""
        return {str(row.source_key) for row in self._rows("removed_keys_among", keys=sorted(set(keys)))}

    def record_removing(self) -> None:
        """Record in the history that the bucket is about to be deleted; from here on its absence is not a fault."""
        self._record(REMOVING)

    def record_removal(self) -> None:
        """Record in the history that the bucket was removed."""
        self._record(REMOVED)

    def _record(self, event: str) -> None:
        self._ledger.connection.execute(self._ledger.queries["record_bucket"], {**self._values, "event": event})

    def _rows(self, name: str, **values: object) -> list[Row]:
        return self._ledger.rows(name, **{**self._values, **values})

    def _rows_of_whole(self, name: str, **values: object) -> list[Row]:
        return rows_of_whole(self._ledger.connection, self._ledger.queries, name, {**self._values, **values})


def _rows_in(row: Row, called: Mapping[TenantId, str]) -> RowsIn:
    owner = None if row.tenant_id is None else plain_id(row.tenant_id)
    slug = None if owner is None else called.get(owner)
    return RowsIn(slug, owner, row.rows, row.without_object, tuple(row.examples or ()))


def _leftover(row: Row, called: Mapping[TenantId, str]) -> Leftover:
    owner = None if row.tenant_id is None else plain_id(row.tenant_id)
    slug = None if owner is None else called.get(owner)
    phase = Phase(row.phase) if row.phase else None
    return Leftover(row.category, slug, owner, phase, row.reason, row.objects, row.size, tuple(row.examples))


class HeldVersion(NamedTuple):
    """A version of an object, a delete marker (no ETag), or an open upload (`version_id` is its upload id)."""

    key: str
    version_id: str
    etag: str | None
    is_current: bool
    is_upload: bool


class FormerHome(RunScope):
    """The ledger's side of removing a tenant's former home."""

    def replace_contents(self, found: Iterable[HeldVersion]) -> None:
        """Replace the recorded contents of the bucket."""
        with self.connection.transaction():
            self.connection.execute(self.queries["make_versions"])
            self.connection.execute(self.queries["forget_versions"])
            with self.connection.cursor().copy(self.queries["copy_versions"]) as copy:
                for each in found:
                    copy.write_row(each)
            self.connection.execute(self.queries["analyze_versions"])

    def unknown_contents(self) -> list[HeldVersion]:
        """Return the versions and uploads that no record of the tenant knows, in order of key."""
        return [
            HeldVersion(row.key, row.version_id, None, False, row.is_upload) for row in self.rows("unknown_versions")
        ]

    def versions(self) -> Iterator[HeldVersion]:
        """Yield the versions and delete markers."""
        for row in self.stream("versions_held"):
            yield HeldVersion(row.key, row.version_id, row.etag, row.is_current, False)

    def uploads(self) -> Iterator[HeldVersion]:
        """Yield the open uploads."""
        for row in self.stream("uploads_held"):
            yield HeldVersion(row.key, row.version_id, None, False, True)

    def is_in_use(self) -> bool:
        """Return whether a row of any tenant points to the bucket."""
        return bool(self.rows("anybody_in_bucket"))

    def last_return(self) -> datetime | None:
        """Return when the last document or the home was returned; None if neither is recorded."""
        moment: datetime | None = self.rows("last_return")[0].moment
        return moment

    def forget_home(self) -> None:
        """Record that the bucket was removed, with its name in the history, in one transaction."""
        self._record("forget_home", "bucket_dropped")

    def keep_home(self) -> None:
        """Record that the bucket was emptied and stays the tenant's, in one transaction."""
        self._record("keep_home", "bucket_emptied")

    def _record(self, query: str, event: str) -> None:
        with self.fence() as cursor:
            cursor.execute(self.queries[query], self.values)
            cursor.execute(
                self.queries["record_event"], {**self.values, "event": event, "reason": self.values["home_bucket"]}
            )
