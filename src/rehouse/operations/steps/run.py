"""A tenant's run: what it is to do, how far it has come, and the inventory that it works with.

A step takes the run and returns the run after it: with the migration as the ledger has it now, and with the report of what was
made so far.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from rehouse.core.errors import RehouseError, TryAgain
from rehouse.core.lifecycle import Event, Phase, is_at_least
from rehouse.core.model import Fault, Migration, Tenant
from rehouse.ledger.ledger import translate_errors
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

ROUNDS = 10
INSISTENCE = 3
"""How often a run copies, verifies and sweeps again before it leaves what still changes to the next run."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a run is to do: how far to go, how many documents to try first, and whether only what failed before counts.

    `code`: of what failed only what failed with this code. `is_for_removal`: the sweep before a removal, which configures
    no bucket and has nothing to do for a tenant whose documents are all at home, even if a run that was killed left its status
    in progress.
    """

    until: Phase = Phase.CUT_OVER
    canary: int = 0
    only_failed: bool = False
    code: str | None = None
    is_for_removal: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One tenant's run as far as it has come.

    `is_listed`: the shared buckets are in the inventory. `source_faults`: the sources of documents moved before that S3 gave no
    answer about. `failed`: the documents that an order for failed ones is about. A round copies, verifies and flips: `changes` is
    what the last one has changed so far, `is_proven` whether its copies hold, or are not made again any more, `uploading` how many
    documents are not uploaded yet. `stays`: no document can be moved, so the home is not switched.
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
        """Whether the run is to go no further than the phase that it has reached."""
        return self.phase is self.order.until and not self.is_live

    @property
    def is_repeating_copies(self) -> bool:
        """Whether copies that do not hold are made again; later the others are cut over without them."""
        return self.rounds <= INSISTENCE

    @property
    def has_more_rounds(self) -> bool:
        """Whether another round may have something to do."""
        return self.rounds < ROUNDS and (self.changes > 0 or not self.is_proven)

    def advance(self, event: Event, reason: str | None = None) -> Run:
        """Move the migration on."""
        return self.at(self.services.ledger.advance(self.migration, event, reason))

    def at(self, migration: Migration) -> Run:
        """Return the run with the migration as it is now."""
        return replace(self, migration=migration, report=replace(self.report, phase=migration.phase))

    def note(self, *texts: str) -> Run:
        """Return the run with notes added to its report."""
        return replace(self, report=self.report.add(notes=texts))


@contextmanager
def run_inventory(services: Services) -> Iterator[None]:
    """Hold the run's inventory for a while; inventories of runs that died are cleared away first.

    Raises TryAgain at the end if another run took this one for dead (the session with its lock was lost for a moment): what was
    listed before that is gone, so a late write may not have been seen.
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
                    hint="run the same command again: it looks at everything once more",
                )
        finally:
            _clear_away(services)


def _clear_away(services: Services) -> None:
    try:
        with translate_errors():
            services.ledger.inventory().clear()
    except RehouseError as error:
        log.warning("the inventory stays until the next run clears it away: %s", error.message)
