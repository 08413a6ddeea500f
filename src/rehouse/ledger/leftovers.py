"""What the database knows of the objects that are still in a shared bucket: why each is there, and whether the bucket may go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rehouse.core.lifecycle import Phase
from rehouse.core.model import TenantId
from rehouse.ledger.ledger import Ledger


class Leftover(NamedTuple):
    """Objects of one kind: why they are there, whose they are (None: nobody's), how far that tenant is, their bytes, first keys."""

    category: str
    slug: str | None
    tenant_id: TenantId | None
    phase: Phase | None
    reason: str | None
    objects: int
    size: int
    examples: tuple[str, ...]


class Leftovers:
    """One shared bucket under one run, whose inventory holds a listing of it."""

    def __init__(self, ledger: Ledger, bucket: str, default_bucket: str) -> None:
        self._ledger = ledger
        self._values = {"run_id": ledger.run_id, "bucket": bucket, "default_bucket": default_bucket}

    def sorted(self) -> list[Leftover]:
        """Return what is in the bucket, by why it is there and whose it is."""
        with self._ledger.connection.transaction():
            self._ledger.connection.execute(self._ledger.queries["prepare_stream"])
            rows = self._rows("leftovers")
        called = {tenant.id: tenant.slug for tenant in self._ledger.tenants()}
        found = [_leftover(row, called) for row in rows]
        return sorted(found, key=lambda each: (each.category, each.slug or "\uffff", each.reason or "\uffff"))

    def rows_and_homes(self) -> tuple[int, int]:
        """Return how many rows point into the bucket, and how many tenants have it as their home."""
        rows, homes = self._rows("count_rows_in")[0]
        return int(rows), int(homes)

    def not_finished(self) -> list[str]:
        """Return what commands call the tenants that are not finished."""
        return self._ledger.called(row[0] for row in self._rows("tenants_not_finished"))

    def removed_among(self, keys: Iterable[str]) -> set[str]:
        """Return which of these keys are sources that were removed from the bucket."""
        return {str(row[0]) for row in self._rows("removed_keys_among", keys=sorted(set(keys)))}

    def record_removal(self) -> None:
        """Write into the history that the bucket is gone."""
        self._ledger.connection.execute(self._ledger.queries["record_bucket_removed"], self._values)

    def _rows(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self._ledger.connection.execute(self._ledger.queries[name], {**self._values, **values}).fetchall()


def _leftover(row: tuple[Any, ...], called: Mapping[TenantId, str]) -> Leftover:
    category, tenant_id, phase, reason, objects, size, examples = row
    owner = tenant_id if tenant_id is None or isinstance(tenant_id, int) else str(tenant_id)
    slug = None if owner is None else called.get(owner)
    return Leftover(category, slug, owner, Phase(phase) if phase else None, reason, objects, size, tuple(examples))
