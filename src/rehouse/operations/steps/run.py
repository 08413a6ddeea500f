"""A tenant's run: its order, its progress and its inventory.

A step takes the run and returns the run after the step, with the present migration in the ledger and the report so far.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from rehouse.core.errors import RehouseError, TryAgain
from rehouse.core.lifecycle import Event, Phase, is_at_least
from rehouse.core.model import Fault, Migration, Tenant
from rehouse.ledger.faults import translate_errors
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

ROUNDS = 10
INSISTENCE = 3
"""How often a run copies, verifies and sweeps again before it leaves documents that still change to the next run."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a run has to do: the phase to reach, the number of canaries, and whether only failed documents count.

    `code`: only documents that failed with this code. `is_for_removal`: the sweep before a removal. It configures no bucket, and
    has nothing to do for a tenant whose documents are all at home, even if a killed run left its status in progress.
    """

    until: Phase = Phase.CUT_OVER
    canary: int = 0
    only_failed: bool = False
    code: str | None = None
    is_for_removal: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """The state of one tenant's run.

    `is_listed`: the shared buckets are in the inventory. `source_faults`: the sources of moved documents without an answer.
    `failed`: the documents of an order for failed ones. A round copies, verifies and flips. `changes`: how many documents the last
    round has changed so far. `is_proven`: its copies are proven, or are not made again. `uploading`: how many documents are not
    uploaded yet. `stays`: no document can be moved, so the home is not switched.
    """

    services: Services
    tenant: Tenant
    migration: Migration
    order: Order
    report: TenantReport
    is_listed: bool
    source_faults: Mapping[str, Fault]
    failed: frozenset[str] = field(default=frozenset())
    rounds: int = 0
    changes: int = 0
    is_proven: bool = False
    uploading: int = 0
    stays: bool = False

    @property
    def slug(self) -> str:
        """The tenant's slug."""
        return self.tenant.slug

    @property
    def phase(self) -> Phase:
        """The phase of the migration."""
        return self.migration.phase

    @property
    def is_live(self) -> bool:
        """Whether the tenant's home is its own bucket."""
        return is_at_least(self.phase, Phase.CUT_OVER)

    @property
    def is_home_adopted(self) -> bool:
        """Whether the tenant's row names the bucket that the migration has as its home."""
        return self.tenant.home == self.migration.home_bucket

    @property
    def is_at_goal(self) -> bool:
        """Whether the run has reached the phase at which it must stop."""
        return self.phase is self.order.until and not self.is_live

    @property
    def is_repeating_copies(self) -> bool:
        """Whether copies that are not proven are made again. Later the others are cut over without them."""
        return self.rounds <= INSISTENCE

    @property
    def has_more_rounds(self) -> bool:
        """Whether another round may be needed."""
        return self.rounds < ROUNDS and (self.changes > 0 or not self.is_proven)

    def advance(self, event: Event, reason: str | None = None) -> Run:
        """Advance the migration by an event, and return the run with it."""
        return self.at(self.services.ledger.advance(self.migration, event, reason))

    def at(self, migration: Migration) -> Run:
        """Return the run with the present migration."""
        return replace(self, migration=migration, report=replace(self.report, phase=migration.phase))

    def note(self, *texts: str) -> Run:
        """Return the run with notes added to its report."""
        return replace(self, report=self.report.add(notes=texts))


@contextmanager
def run_inventory(services: Services) -> Iterator[None]:
    """Hold the run's inventory during the block; delete the inventories of killed runs first.

    Raises TryAgain at the end if another run considered this one dead, because the session with its lock was lost for a moment.
    Then its listings were deleted, so it may not have seen a late write.
    """
    inventory = services.ledger.inventory()
    with services.locks.hold_run_of(services.ledger.run_id), translate_errors():
        for run_id in inventory.runs():
            if not services.locks.is_run_alive(run_id):
                inventory.forget(run_id)
        inventory.begin()
        try:
            yield
            if not inventory.is_kept():
                raise TryAgain(
                    "another run found this one without its lock and deleted what it had listed; what was done is saved",
                    hint="run the same command again: it checks everything once more",
                )
        finally:
            _clear_away(services)


def _clear_away(services: Services) -> None:
    try:
        with translate_errors():
            services.ledger.inventory().clear()
    except RehouseError as error:
        log.warning("the inventory stays until the next run deletes it: %s", error.message)
