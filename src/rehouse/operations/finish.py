"""Finish a tenant: after the grace, remove the sources of its documents from the shared bucket.

It sweeps first, as `migrate` does, so that it removes nothing that was not copied. It removes a source only if its document was
flipped at least the grace ago and is proven at home, and if no row points to the source. It removes none while another column of
the database holds keys of the tenant's sources. It is safe to repeat.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from rehouse.core.errors import ErrorCode, RehouseError, StorageRefused
from rehouse.core.lifecycle import Event, Phase, Status, is_at_least
from rehouse.core.model import Migration, Tenant, TenantId
from rehouse.core.removals import STAYING_CODES, describe_shorter_grace
from rehouse.core.tenant_state import TenantState
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.late_writes import LateWriteRecords
from rehouse.ledger.pointers import Unchecked
from rehouse.ledger.removals import Removals
from rehouse.operations.buckets.shared_versioning import (
    describe_destroying,
    describe_kept_versions,
    refuse_destroying,
)
from rehouse.operations.checks.pointers import CAREFUL, Look, Mention, look_through
from rehouse.operations.report import Outcome, RunReport, TenantReport, close_after, close_run, count_quarantined
from rehouse.operations.selection import for_each
from rehouse.operations.services import Services
from rehouse.operations.steps.due_sources import require_cut_over
from rehouse.operations.steps.late_writes import sweep_again
from rehouse.operations.steps.removals import (
    KeptSource,
    RemovalPass,
    has_nothing_to_do,
    is_last_removal,
    put_back,
    remove_sources,
)
from rehouse.operations.steps.run import Order, Run, run_inventory
from rehouse.operations.steps.survey import list_shared_buckets, survey_documents
from rehouse.operations.steps.sweep import bring_late_writes_home, sweep
from rehouse.operations.steps.walk import walk
from rehouse.s3.buckets.delete_objects import honours_conditions
from rehouse.s3.faults import ACCESS_DENIED

log = logging.getLogger(__name__)

HELD_BACK = "finish removed nothing: columns outside the mapping hold keys of its sources, or could not be searched"
AT_ONCE = 4
"""How many tenants are finished in parallel with --all."""
NOT_GUARDED = "conditions on a removal (an object that is written between the check of a source and its removal is removed as well)"


@dataclass(frozen=True)
class FinishReport(RunReport):
    """The result of finishing a tenant. Sizes are bytes; `sources_removed` counts this run (with --dry-run: what it would remove).

    `waiting`: sources that are younger than the grace; the first may be removed at `next_at`. `sources_changed`: written after the
    sweep, and swept again. `left`: sources that a person must look at. `outstanding`: other documents with a fault. `pointers`:
    columns outside the mapping that hold keys of its sources. `unchecked`: columns that could not be searched. Both prevent
    the removal (`held_back`).
    """

    slug: str
    tenant_id: TenantId
    phase: Phase | None = None
    status: Status = Status.PENDING
    state: TenantState = TenantState.NOT_STARTED
    home_bucket: str | None = None
    this_run: int = 0
    sources_removed: int = 0
    bytes_removed: int = 0
    sources_removed_in_all: int = 0
    waiting: int = 0
    next_at: datetime | None = None
    sources_changed: int = 0
    put_back: int = 0
    left: list[KeptSource] = field(default_factory=list)
    outstanding: list[Outstanding] = field(default_factory=list)
    held_back: bool = False
    pointers: list[Mention] = field(default_factory=list)
    unchecked: list[Unchecked] = field(default_factory=list)
    in_part: list[str] = field(default_factory=list)
    gives_up: str | None = None
    not_offered: tuple[str, ...] = ()
    kept_versions: tuple[str, ...] = ()
    error: str | None = None
    error_code: ErrorCode | None = None
    hint: str | None = None
    interrupted: bool = False

    @property
    def errors(self) -> int:
        """How many documents need attention; at least 1 if the run itself failed (an interruption is not a failure)."""
        documents = {each.document_id for each in self.left} | {each.document_id for each in self.outstanding}
        is_other = self.held_back or (self.error is not None and not self.interrupted)
        return max(len(documents), int(is_other))

    @property
    def quarantined(self) -> int:
        """How many documents were not moved because they are in quarantine."""
        return count_quarantined(self.outstanding)

    @property
    def is_well_otherwise(self) -> bool:
        """Whether nothing is wrong except for documents in quarantine."""
        is_held = bool(self.left) or self.held_back
        return not is_held and len(self.outstanding) == self.quarantined and (self.error is None or self.interrupted)


def finish_one(
    services: Services,
    tenant: Tenant,
    *,
    grace: timedelta,
    dry_run: bool = False,
    look: Look = CAREFUL,
    final: bool = False,
) -> FinishReport:
    """Finish one tenant. `final`: even if the shared bucket's versioning is suspended.

    Raises Refused before its cutover, and TryAgain and Halt as `migrate` does.
    """
    with translate_errors():
        migration = require_cut_over(services, tenant)
    if dry_run:
        return _foresee(services, tenant, migration, grace, look)
    with run_inventory(services):
        return _finish(services, tenant, grace, look, final=final).require_report()


def finish_all(
    services: Services,
    tenants: Sequence[Tenant],
    *,
    grace: timedelta,
    dry_run: bool = False,
    look: Look = CAREFUL,
    final: bool = False,
) -> list[FinishReport]:
    """Finish every tenant that was cut over; a failed one does not stop the others. The database is searched once for all."""
    with translate_errors():
        begun = [(tenant, services.ledger.migration(tenant)) for tenant in tenants]
        there = [(tenant, each) for tenant, each in begun if each and is_at_least(each.phase, Phase.CUT_OVER)]
        due = [each for _, each in there if services.ledger.of(each, Removals).counts(grace).old_enough]
        look = look_through(services, due, look, "all tenants") if due else look
    if not there:
        return []
    if dry_run:
        return [_foresee(services, tenant, migration, grace, look) for tenant, migration in there]
    with run_inventory(services):
        list_shared_buckets(services)
        work = [tenant for tenant, _ in there]
        known = {tenant.id: migration for tenant, migration in there}
        one = partial(_try_finish, known=known, grace=grace, look=look, final=final)
        return list(for_each(services, work, one, parallel=AT_ONCE))


def _try_finish(
    services: Services,
    tenant: Tenant,
    *,
    known: Mapping[TenantId, Migration],
    grace: timedelta,
    look: Look,
    final: bool,
) -> FinishReport:
    try:
        return _finish(services, tenant, grace, look, final=final, is_listed=True).report
    except RehouseError as error:
        before = known[tenant.id]
        report = FinishReport(tenant.slug, tenant.id, before.phase, before.status, before.state, before.home_bucket)
        return report.end_with(error)


def _finish(
    services: Services, tenant: Tenant, grace: timedelta, look: Look, *, final: bool, is_listed: bool = False
) -> Outcome[FinishReport]:
    with _name_role_of_errors(), translate_errors(), services.locks.hold(tenant.id, tenant.slug):
        require_cut_over(services, tenant)
        swept = walk(services, tenant, Order(is_for_removal=True), _sweep, is_listed=is_listed).require_report()
        migration = require_cut_over(services, tenant)
        report = FinishReport(
            tenant.slug,
            tenant.id,
            status=swept.status,
            state=swept.state,
            outstanding=swept.outstanding,
            this_run=swept.this_run,
        )
        run = _new_pass(services, migration, tenant, grace, final=final)
        if has_nothing_to_do(run):
            return Outcome(_add_counts(report, run))
        run.migration = services.ledger.begin_run(tenant, migration.home_bucket)
        try:
            with translate_errors():
                for reached in _remove(run, report, _discard_older_look(run, swept, look)):
                    report = reached
        except RehouseError as error:
            swept = close_after(services, tenant, swept, error, close_run)
            _name_role(error)
            report = replace(
                report, phase=swept.phase, status=swept.status, state=swept.state, home_bucket=swept.home_bucket
            )
            return Outcome(replace(report, outstanding=swept.outstanding).end_with(error), error)
        swept = close_run(services, run.migration, replace(swept, error=HELD_BACK) if report.held_back else swept)
        report = replace(report, status=swept.status, state=swept.state, outstanding=swept.outstanding)
        return Outcome(_add_counts(report, run))


def _sweep(run: Run) -> Iterator[Run]:
    """Copy home what was written elsewhere, without configuring the bucket; yield the run after each step."""
    yield (run := bring_late_writes_home(run))
    survey_documents(run)
    yield from sweep(run)


@contextmanager
def _name_role_of_errors() -> Iterator[None]:
    """Make the error about a missing right name the role that has the right."""
    try:
        yield
    except StorageRefused as error:
        _name_role(error)
        raise


def _name_role(error: RehouseError) -> None:
    if isinstance(error, StorageRefused) and error.code == ACCESS_DENIED:
        error.hint = "attach `rehouse iam-policy --role finish`; if the sweep moves something, `--role migrate` too"


def _new_pass(
    services: Services, migration: Migration, tenant: Tenant, grace: timedelta, *, final: bool = False
) -> RemovalPass:
    """Return the pass over the sources. It comes after the sweep, because documents that the sweep moved must wait."""
    sharing = services.ledger.of(migration, Removals).shared_sources(grace)
    return RemovalPass(services, migration, tenant.slug, grace, sharing, final=final)


def _remove(run: RemovalPass, report: FinishReport, look: Look) -> Iterator[FinishReport]:
    """Remove the sources that may be removed, put back those that are needed again; yield the report after each step."""
    services, before = run.services, run.room.counts(run.grace)
    shared = services.settings.remaining_buckets
    if before.old_enough and not run.final:
        refuse_destroying(services.control, shared)
    if before.old_enough:
        yield (report := _look_for_pointers(run, report, look))
    if before.old_enough and not report.held_back:
        yield replace(
            report,
            not_offered=() if _is_guarded(services) else (NOT_GUARDED,),
            gives_up=describe_shorter_grace(run.grace, services.settings.grace),
            kept_versions=describe_kept_versions(services.control, shared),
        )
        remove_sources(run)
        if run.changed:  # no sweep of this run has seen what was written there
            sweep_again(services, run.migration, run.subject, run.changed)
    put_back(run)
    if is_last_removal(run):
        if run.migration.phase is Phase.CUT_OVER:
            run.migration = services.ledger.advance(run.migration, Event.SOURCES_RELEASED, "there is none to remove")
        run.migration = services.ledger.advance(run.migration, Event.SOURCES_REMOVED)


def _discard_older_look(run: RemovalPass, swept: TenantReport, look: Look) -> Look:
    """Return the look, or an empty one if the sweep moved documents after it whose sources may be removed as well.

    That is so if fewer documents wait for their grace than were just moved.
    """
    counts = run.room.counts(run.grace)
    is_older = counts.left - counts.old_enough < swept.this_run + swept.late_writes
    return replace(look, owners=frozenset(), found=None) if is_older else look


def _look_for_pointers(run: RemovalPass, report: FinishReport, look: Look) -> FinishReport:
    """Search the columns outside the mapping for keys of the tenant's sources, unless that was done; add it to the report."""
    owner = str(run.migration.tenant_id)
    if owner not in look.owners:
        look = look_through(run.services, [run.migration], look, run.subject)
    pointers, unchecked = look.mentions(owner), look.unchecked
    if unchecked:
        run.reason = f"not searched for keys: {', '.join(each.column for each in unchecked)}"
    return replace(
        report,
        pointers=pointers,
        unchecked=unchecked,
        in_part=look.in_part,
        held_back=bool(pointers) or bool(unchecked and not look.accept_unchecked),
    )


def _is_guarded(services: Services) -> bool:
    bucket = services.settings.remaining_bucket
    return bucket is None or services.control.once(honours_conditions, bucket)


def _foresee(services: Services, tenant: Tenant, migration: Migration, grace: timedelta, look: Look) -> FinishReport:
    """Return the report of what would happen."""
    report = FinishReport(tenant.slug, tenant.id, status=migration.status, state=migration.state)
    run = _new_pass(services, migration, tenant, grace)
    with translate_errors():
        remove_sources(run, dry_run=True)
        if run.removed:
            report = _look_for_pointers(run, report, look)
        unmoved = services.ledger.documents(migration).list_outstanding(is_cut_over=True)
        report = replace(
            report, outstanding=unmoved + services.ledger.of(migration, LateWriteRecords).list_outstanding()
        )
        if run.removed:
            kept = describe_kept_versions(services.control, services.settings.remaining_buckets)
            report = replace(report, gives_up=_foresee_loss(services, grace), kept_versions=kept)
        if report.held_back:
            run.removed = run.removed_bytes = 0
        return _add_counts(report, run)


def _foresee_loss(services: Services, grace: timedelta) -> str | None:
    destroyed = describe_destroying(services.control, services.settings.remaining_buckets)
    told = [
        describe_shorter_grace(grace, services.settings.grace),
        *(f"{each}; finish asks for --final" for each in destroyed),
    ]
    return "; ".join(each for each in told if each) or None


def _add_counts(report: FinishReport, run: RemovalPass) -> FinishReport:
    """Return the report with the counts of the pass over the sources."""
    counts, left = run.room.counts(run.grace), {each.document_id for each in run.left}
    report = replace(
        report,
        phase=run.migration.phase,
        home_bucket=run.migration.home_bucket,
        sources_removed=run.removed,
        bytes_removed=run.removed_bytes,
        sources_changed=len(run.changed),
        put_back=run.put_back,
        left=run.left,
        outstanding=[
            each for each in report.outstanding if each.code not in STAYING_CODES or each.document_id not in left
        ],
        sources_removed_in_all=counts.removed,
        waiting=counts.left - counts.old_enough,
        next_at=counts.next_at,
    )
    log.info(
        "%s: %s: sources removed: %d, waiting: %d, left: %d",
        report.slug,
        report.phase,
        report.sources_removed,
        report.waiting,
        len(report.left),
    )
    return report
