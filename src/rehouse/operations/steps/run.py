"""The rounds of a run: provision, look, then copy, verify and flip until nothing is left that another round could do.

The phases follow core.lifecycle; from `cut_over` on a round is a sweep. What a run is to do is its Order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from rehouse.core.bucket.documents import TEMPORARY_PREFIX
from rehouse.core.copies import Standing
from rehouse.core.errors import Refused, StorageRefused, TryAgain
from rehouse.core.lifecycle import Event, Phase, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.ledger.failures import Failures
from rehouse.ledger.settling import Versioning
from rehouse.operations.buckets.homes import new_home
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services
from rehouse.operations.steps import canary, survey
from rehouse.operations.steps.copies import Tally, copy_documents
from rehouse.operations.steps.flips import Flips, flip_copies, flip_first, switch_home
from rehouse.operations.steps.late_writes import Looked, sweep_late_writes
from rehouse.operations.steps.proofs import check_copies
from rehouse.operations.steps.provision import provision
from rehouse.operations.steps.settling import await_settled
from rehouse.operations.steps.trials import try_cutover

ROUNDS = 10
INSISTENCE = 3
"""How often a run copies, verifies and sweeps again before it leaves what still changes to the next run."""
NAMES = 3


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


@dataclass
class Run:
    """One tenant's run under way. `looked`: what is known of the sources of documents that were moved before."""

    services: Services
    tenant: Tenant
    migration: Migration
    order: Order
    report: TenantReport
    looked: Looked
    failed: set[str] = field(default_factory=set)
    is_canary_done: bool = False

    def advance(self, event: Event, reason: str | None = None) -> None:
        """Move the migration on."""
        self.migration = self.services.ledger.advance(self.migration, event, reason)
        self.report.phase = self.migration.phase

    def note(self, text: str) -> None:
        """Add a note to the report."""
        self.report.notes = (*self.report.notes, text)


def run_rounds(run: Run) -> Migration:
    """Bring the migration as far as the order says, and fill in the run's report; return the migration as it stands."""
    run.report.phase, until = run.migration.phase, run.order.until
    was_live = is_at_least(run.migration.phase, Phase.CUT_OVER)
    if until is Phase.PLANNED:
        return run.migration
    if not was_live and run.tenant.home == run.migration.home_bucket:
        _refuse_what_would_expire(run)
    if not run.order.is_for_removal:
        _provision(run)
    if until is Phase.PROVISIONED:
        return run.migration
    if was_live:
        late = sweep_late_writes(run.services, run.migration, run.tenant.slug, run.looked.faults)
        run.report.late_writes += late.recopied
    _survey(run)
    for number in range(ROUNDS):
        if _round(run, insist=number < INSISTENCE):
            break
    return run.migration


def _refuse_what_would_expire(run: Run) -> None:
    """A bucket that the tenant came with may hold documents where the lifecycle rules would remove them."""
    home = run.migration.home_bucket
    count = run.services.ledger.documents(run.migration).below(TEMPORARY_PREFIX)
    if count:
        days = run.services.settings.lifecycle.temporary_days
        raise Refused(
            f"{run.tenant.slug}: documents ({count}) lie below {TEMPORARY_PREFIX} in {home}, where objects live for {days} days",
            hint="give them other keys (copy the object, then update the row), then run the same command again",
        )


def _provision(run: Run) -> None:
    services, tenant = run.services, run.tenant
    if run.migration.phase is not Phase.PLANNED and run.migration.home_bucket in services.provisioned:
        return  # by an earlier stage of this run
    if run.migration.phase is Phase.PLANNED:  # a run that was killed may have made it a moment ago
        services.control.new_buckets.expect(run.migration.home_bucket)
    for _ in range(NAMES):
        try:
            made = provision(services, tenant, run.migration.home_bucket, before=partial(_before_versioning, run))
            break
        except StorageRefused as error:
            is_named_by_us = tenant.home != run.migration.home_bucket and run.migration.phase is Phase.PLANNED
            if error.code != "BucketAlreadyExists" or not is_named_by_us:
                raise
            name = new_home(tenant, services.settings, services.control.identity().account)
            run.migration = services.ledger.rename_home(run.migration, name)
    else:
        raise TryAgain(f"{tenant.slug}: every bucket name tried is taken", hint="set another REHOUSE_BUCKET_PREFIX")
    if run.migration.phase is Phase.PLANNED or "versioning" in made.changed:
        services.ledger.of(run.migration, Versioning).record()
    services.provisioned.add(run.migration.home_bucket)
    report = run.report
    report.not_offered, report.notes, report.home_bucket = (
        made.not_offered,
        (*report.notes, *made.notes),
        run.migration.home_bucket,
    )
    if run.migration.phase is Phase.PLANNED:
        run.advance(Event.BUCKET_READY)


def _before_versioning(run: Run, setting: str) -> None:
    if setting == "versioning":
        run.services.ledger.of(run.migration, Versioning).expect()


def _survey(run: Run) -> None:
    """List what the rounds need, where that is cheaper; what only failed before is looked at by HEAD."""
    documents = run.services.ledger.documents(run.migration)
    counts = documents.counts()
    if counts.outside == 0 or run.order.only_failed:
        return
    if not run.looked.listed:
        survey.list_for_one_tenant(run.services, documents, counts.outside)
    if counts.outside * LISTED_PER_REQUEST >= counts.at_home:
        survey.list_home(run.services, run.migration.home_bucket)


def _round(run: Run, *, insist: bool) -> bool:
    """One round of copy, verify, flip; return whether nothing is left that another round could do.

    `insist`: copies that do not hold are made again first; later the others are cut over without them.
    """
    services, slug, until = run.services, run.tenant.slug, run.order.until
    was_live = is_at_least(run.migration.phase, Phase.CUT_OVER)
    if run.migration.phase in (Phase.COPIED, Phase.VERIFIED):
        run.advance(Event.CHANGES_FOUND, "a run looks for changes again")
    tally = _copy(run)
    if run.migration.phase is Phase.PROVISIONED:
        run.advance(Event.ALL_COPIED)
    if until is Phase.COPIED and run.migration.phase is Phase.COPIED:
        return True
    if not was_live and until is not Phase.VERIFIED:
        await_settled(
            services, run.migration, slug
        )  # before the copies are proven: S3 may lose sight of them until then
    proofs, dropped = check_copies(services, run.migration, slug)
    run.report.proofs += proofs
    if run.migration.phase is Phase.COPIED:
        event = Event.MISMATCH_FOUND if dropped and insist else Event.ALL_MATCHED
        run.advance(event, f"{dropped} copies do not hold" if dropped else None)
    if (dropped and insist) or (until is Phase.VERIFIED and run.migration.phase is Phase.VERIFIED):
        return not (dropped and insist)
    if run.migration.phase is Phase.VERIFIED and not _may_be_switched(run, tally):
        return True
    flips = _cut_over(run)
    return was_live and not (tally.changed or flips.flipped or flips.changed)


def _copy(run: Run) -> Tally:
    only: frozenset[str] | None = None
    if run.order.only_failed:
        run.failed |= run.services.ledger.of(run.migration, Failures).ids(run.order.code)
        only = frozenset(run.failed)
    is_adopted = run.tenant.home == run.migration.home_bucket
    tally = copy_documents(run.services, run.migration, run.tenant.slug, is_adopted=is_adopted, only=only)
    run.report.copied += tally.copied
    run.report.adopted += tally.adopted
    run.report.copied_bytes += tally.copied_bytes
    return tally


def _may_be_switched(run: Run, tally: Tally) -> bool:
    """Return whether a document can move, or is at home or on its way, or there is none; raise if rows cannot be flipped."""
    documents = run.services.ledger.documents(run.migration)
    copies, _ = documents.count_copies()
    if copies and try_cutover(run.services, run.migration, run.tenant):
        return True
    counts, stuck = documents.counts(), len(documents.outstanding(is_cut_over=False))
    on_their_way = tally.standings[Standing.NOT_UPLOADED]
    if copies and counts.outside > counts.accepted + stuck + on_their_way:
        raise _without_rows(run, copies, counts.outside)
    if stuck and not counts.at_home and counts.outside <= counts.accepted + stuck:
        run.note("none of its documents can be moved, so its home was not switched")
        return False
    return True


def _without_rows(run: Run, copies: int, outside: int) -> Refused:
    """Copies that no row belongs to: the application changed all rows meanwhile, or the ledger's ids are not the rows'."""
    return Refused(
        f"{run.tenant.slug}: nothing was switched: no row is as it was copied ({copies} copies, {outside} rows outside its bucket)",
        hint="run the same command again: if the application changed these rows, it copies them anew; if it says this again, "
        "compare document_id in s3_migration_documents with the ids of the rows",
    )


def _cut_over(run: Run) -> Flips:
    """Switch the home if it is not switched yet, then flip; the canary's documents first, if a canary was asked for."""
    services, slug = run.services, run.tenant.slug
    count = 0 if run.is_canary_done else run.order.canary
    if count and run.migration.phase is Phase.VERIFIED:
        run.note(canary.try_copies(services, run.migration, slug, count))
    run.migration = switch_home(services, run.migration, run.tenant)
    run.report.phase = run.migration.phase
    first = Flips()
    if count:
        first = flip_first(services, run.migration, count)
        run.report.this_run += first.flipped
        run.note(canary.try_rows(services, run.migration, slug, count))
        run.is_canary_done = True
    flips = flip_copies(services, run.migration, slug)
    run.report.this_run += flips.flipped
    return replace(flips, flipped=first.flipped + flips.flipped, changed=first.changed + flips.changed)
