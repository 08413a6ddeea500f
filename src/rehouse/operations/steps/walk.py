"""A tenant's run from beginning to end: the lock, the ledger's row, the steps in order, and the report."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from rehouse.core.durations import spell_duration
from rehouse.core.errors import Halt, Refused, RehouseError
from rehouse.core.lifecycle import Event, Phase, Status, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.returns import Returns
from rehouse.operations.buckets.earlier_homes import refuse_earlier_home
from rehouse.operations.buckets.homes import home_of, new_home, refuse_lost_home
from rehouse.operations.report import Outcome, TenantReport, close_after, close_run
from rehouse.operations.services import Services
from rehouse.operations.steps.late_writes import SourcesLookedAt, has_late_writes, look_at_sources
from rehouse.operations.steps.late_writes_at_home import require_no_late_writes
from rehouse.operations.steps.run import Order, Run

log = logging.getLogger(__name__)

Steps = Callable[[Run], Iterator[Run]]
"""The steps of a verb in order; yields the run after each step."""


def walk(
    services: Services,
    tenant: Tenant,
    order: Order,
    steps: Steps,
    *,
    report: TenantReport | None = None,
    is_listed: bool = False,
) -> Outcome[TenantReport]:
    """Run the steps for one tenant; return its report, and the error that ended the run, if there was one.

    `report`: from an earlier stage of the same run. `is_listed`: the shared buckets are in the run's inventory. Raises TryAgain if
    another operator works on the tenant, Refused or Halt if a run may not begin. What was done until an error is saved, and the
    tenant's row has the error.
    """
    report = report or TenantReport(tenant.slug, tenant.id)
    with translate_errors(), services.locks.hold(tenant.id, tenant.slug):
        tenant = services.ledger.reread(tenant)
        before = services.ledger.migration(tenant)
        looked = SourcesLookedAt(is_listed, {})
        if before and is_at_least(before.phase, Phase.CUT_OVER):
            refuse_lost_home(services, before, tenant.slug)
            looked = look_at_sources(services, before, listed=is_listed, only_failed=order.only_failed, code=order.code)
            done = _report_done(services, tenant, before, order, report)
            if done and not (looked.faults or has_late_writes(services, before)):
                return Outcome(done)
        _refuse_too_early(tenant, before, order)
        migration, notes = _begin(services, tenant, before)
        report = replace(report, phase=migration.phase, home_bucket=migration.home_bucket)
        run = Run(services, tenant, migration, order, report, looked.listed, looked.faults)
        try:
            with translate_errors():
                run = run.note(*notes, *_notes_after_return(run))
                for reached in steps(run):
                    run = reached
        except RehouseError as error:
            return Outcome(close_after(services, tenant, run.report, error, close_run), error)
        return Outcome(close_run(services, run.migration, run.report))


def plan_again(run: Run) -> Run:
    """Plan a tenant that was rolled back, after settling late writes in its bucket."""
    if run.phase is not Phase.ROLLED_BACK:
        return run
    require_no_late_writes(run.services, run.migration, run.slug)

    def advance() -> Run:
        with run.services.ledger.connection.transaction():
            run.services.ledger.of(run.migration, Returns).give_up()
            return run.advance(Event.PLANNED_AGAIN)

    return run.services.ledger.run_with_retries(advance)


def _report_done(
    services: Services, tenant: Tenant, migration: Migration, order: Order, report: TenantReport
) -> TenantReport | None:
    """Return the report of a completed tenant with nothing outside its home except late writes; None for any other.

    Before a removal, a tenant in progress with nothing outstanding counts as completed too: its run was killed.
    """
    documents = services.ledger.documents(migration)
    was_killed = (
        order.is_for_removal
        and migration.status is Status.IN_PROGRESS
        and not documents.list_outstanding(is_cut_over=True)
    )
    if migration.status is not Status.COMPLETED and not was_killed:
        return None
    home_of(tenant, services.settings, migration)
    counts = documents.counts()
    migrated, _ = documents.count_migrated()
    if counts.outside > counts.accepted:
        return None
    return replace(
        report,
        phase=migration.phase,
        status=migration.status,
        state=migration.state,
        home_bucket=migration.home_bucket,
        documents_migrated=migrated,
        documents_total=counts.total,
        documents_skipped=counts.without_key,
        accepted=counts.accepted,
    )


def _refuse_too_early(tenant: Tenant, before: Migration | None, order: Order) -> None:
    if order.only_failed and not (before and is_at_least(before.phase, Phase.COPIED)):
        raise Refused(
            f"{tenant.slug}: no run has checked all of its documents yet, so rehouse does not know which failed",
            hint=f"run `rehouse migrate {tenant.slug}` first",
            subject=tenant.slug,
        )


def _begin(services: Services, tenant: Tenant, before: Migration | None) -> tuple[Migration, tuple[str, ...]]:
    """Claim the tenant's row in the ledger for this run, and reserve its bucket's name; return it with notes for the report."""
    home = home_of(tenant, services.settings, before)
    notes: tuple[str, ...] = ()
    if home:
        _refuse_foreign_home(services, tenant, home)
    else:
        notes = refuse_earlier_home(services.settings, services.control, services.ledger, tenant)
    migration = services.ledger.begin_run(
        tenant, home or new_home(tenant, services.settings, services.control.identity().account)
    )
    log.info("%s: run %s begins at %s, home %s", tenant.slug, migration.run_id, migration.phase, migration.home_bucket)
    return migration, notes


def _refuse_foreign_home(services: Services, tenant: Tenant, home: str) -> None:
    others = services.ledger.find_others_at(home, tenant)
    if others or home == services.settings.log_bucket:
        whose = f"also the home of {', '.join(others)}" if others else "the bucket of the access logs"
        raise Halt(
            f"{tenant.slug}: its bucket {home} is {whose}",
            hint="give the tenant's row in tenants.aws_bucket_name a bucket of its own, or NULL",
            subject=tenant.slug,
        )


def _notes_after_return(run: Run) -> list[str]:
    """Return a note if pointers from before a rollback may still be in use, because the ledger will not record their places."""
    if run.phase is not Phase.ROLLED_BACK:
        return []
    grace = timedelta(days=run.services.settings.grace_days)
    returned = [each.at for each in run.services.ledger.history(run.tenant) if each.event == Event.HOME_RETURNED]
    if not returned or datetime.now(UTC) - returned[-1] >= grace:
        return []
    return [
        f"{run.slug} was rolled back less than {spell_duration(grace)} ago: writes through an older pointer or "
        f"presigned URL stay in {run.migration.home_bucket}; rehouse does not copy them"
    ]
