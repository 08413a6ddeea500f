"""Migrate a tenant: plan, provision, copy, verify, cut over; run again, it does only what is left.

The phases follow core.lifecycle. A document that cannot be moved is an error of the report; the tenant's other documents
are cut over all the same. In `cut_over` and later a run is a sweep: copy, verify and flip whatever is not at home.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

from rehouse.core.durations import spelled
from rehouse.core.errors import Halt, Refused, RehouseError, TryAgain
from rehouse.core.lifecycle import Event, Phase, Status, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.ledger.ledger import translating
from rehouse.ledger.returns import Returns
from rehouse.operations.buckets.homes import home_of, new_home
from rehouse.operations.report import TenantReport, close_after, close_run, tell_of_guard
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.late_writes import Looked, are_there, look_at_sources
from rehouse.operations.steps.run import Order, Run, run_rounds
from rehouse.operations.steps.stages import Stages
from rehouse.operations.steps.written_after import catch_up

log = logging.getLogger(__name__)

EVERYTHING = Order()


def migrate(
    services: Services, tenant: Tenant, report: TenantReport, order: Order = EVERYTHING, *, listed: bool = False
) -> TenantReport:
    """Do what the order says (or sweep, if the tenant is past it) and fill in the report, which is returned.

    `listed`: the shared buckets are in the run's inventory. Raises TryAgain if another operator works on the tenant, Refused
    or Halt where the run cannot go on; whatever was done until then is saved, and the tenant's row says what went wrong.
    """
    with translating(), services.locks.holding(tenant.id, tenant.slug):
        tenant = services.ledger.reread(tenant)
        before = services.ledger.migration(tenant)
        looked = Looked(listed, {})
        if before and is_at_least(before.phase, Phase.CUT_OVER):
            looked = look_at_sources(services, before, listed=listed, only_failed=order.only_failed, code=order.code)
            is_well = is_done(services, tenant, report, after_a_kill=order.is_for_removal)
            if is_well and not (looked.faults or are_there(services, before)):
                return report
        _refuse_too_early(tenant, before, order)
        migration = _begin(services, tenant)
        report.home_bucket = migration.home_bucket
        log.info(
            "%s: run %s begins at %s, home %s", tenant.slug, migration.run_id, migration.phase, migration.home_bucket
        )
        try:
            with translating():
                report.notes = (*report.notes, *_too_soon(services, tenant, migration))
                migration = _planned_again(services, tenant, migration)
                migration = run_rounds(Run(services, tenant, migration, order, report, looked))
        except RehouseError as error:
            close_after(services, tenant, report, error)
            raise
        close_run(services, migration, report, None)
        return report


def is_done(services: Services, tenant: Tenant, report: TenantReport, *, after_a_kill: bool = False) -> bool:
    """Return whether the tenant is completed and has nothing outside its home, late writes aside.

    `after_a_kill`: in progress will do, if nothing is outstanding.
    """
    migration = services.ledger.migration(tenant)
    if not migration or not is_at_least(migration.phase, Phase.CUT_OVER):
        return False
    documents = services.ledger.documents(migration)
    was_killed = after_a_kill and migration.status is Status.IN_PROGRESS and not documents.outstanding(is_cut_over=True)
    if migration.status is not Status.COMPLETED and not was_killed:
        return False
    home_of(tenant, services.settings, migration)
    counts = documents.counts()
    report.phase, report.status, report.home_bucket = migration.phase, migration.status, migration.home_bucket
    report.documents_migrated, _ = documents.migrated()
    report.without_key, report.accepted = counts.without_key, counts.accepted
    return counts.outside <= counts.accepted


def _refuse_too_early(tenant: Tenant, before: Migration | None, order: Order) -> None:
    if order.only_failed and not (before and is_at_least(before.phase, Phase.COPIED)):
        raise Refused(
            f"{tenant.slug}: no run has looked at all of its documents yet, so what failed is not known",
            hint=f"run `rehouse migrate {tenant.slug}` first",
        )


def _begin(services: Services, tenant: Tenant) -> Migration:
    before = services.ledger.migration(tenant)
    home = home_of(tenant, services.settings, before)
    if home:
        _refuse_somebody_elses(services, tenant, home)
    return services.ledger.begin_run(
        tenant, home or new_home(tenant, services.settings, services.control.identity().account)
    )


def _too_soon(services: Services, tenant: Tenant, migration: Migration) -> list[str]:
    """A note where pointers of before the rollback may still be in use: the ledger will know only the places of now."""
    if migration.phase is not Phase.ROLLED_BACK:
        return []
    grace = timedelta(days=services.settings.grace_days)
    returned = [each.at for each in services.ledger.history(tenant) if each.event == Event.HOME_RETURNED]
    if not returned or datetime.now(UTC) - returned[-1] >= grace:
        return []
    return [
        f"{tenant.slug} was rolled back less than {spelled(grace)} ago: what is still written through a pointer or URL of before "
        f"that stays where it lands in {migration.home_bucket}, and no sweep brings it to its document"
    ]


def _planned_again(services: Services, tenant: Tenant, migration: Migration) -> Migration:
    if migration.phase is not Phase.ROLLED_BACK:
        return migration
    catch_up(services, migration, tenant.slug)

    def plan_again() -> Migration:
        with services.ledger.connection.transaction():
            services.ledger.of(migration, Returns).give_up()
            return services.ledger.advance(migration, Event.PLANNED_AGAIN)

    return services.ledger.patiently(plan_again)


def _refuse_somebody_elses(services: Services, tenant: Tenant, home: str) -> None:
    others = services.ledger.others_at(home, tenant)
    if others or home == services.settings.log_bucket:
        whose = f"also the home of {', '.join(others)}" if others else "the bucket of the access logs"
        raise Halt(
            f"{tenant.slug}: its bucket {home} is {whose}",
            hint="give the tenant's row in tenants.aws_bucket_name a bucket of its own, or NULL",
        )


def migrate_all(
    services: Services,
    tenants: Sequence[Tenant],
    order: Order = EVERYTHING,
    *,
    parallel: int = 1,
    fail_fast: bool = False,
) -> list[TenantReport]:
    """Migrate every tenant; the shared buckets are listed once. A failed tenant does not stop the others."""
    with run_inventory(services):
        is_listed = bool(tenants) and not order.only_failed
        stages = Stages(services, order, partial(_reported, listed=is_listed), parallel, fail_fast)
        left = stages.provision(tenants)
        if is_listed:
            survey.list_shared_buckets(services)
        stages.migrate(stages.copy(left))
        reports = [stages.reports[each.id] for each in tenants if each.id in stages.reports]
        tell_of_guard(services, reports)
        return reports


def migrate_one(services: Services, tenant: Tenant, order: Order = EVERYTHING) -> TenantReport:
    """Migrate one tenant, its inventory cleared away at the end."""
    with run_inventory(services):
        report = migrate(services, tenant, TenantReport(tenant.slug, tenant.id), order)
        tell_of_guard(services, [report])
        return report


@contextmanager
def run_inventory(services: Services) -> Iterator[None]:
    """Hold the run's inventory for a while; inventories of runs that died are cleared away first.

    Raises TryAgain at the end if another run took this one for dead (the session with its lock was lost for a moment): what was
    listed before that is gone, so a late write may not have been seen.
    """
    inventory = services.ledger.inventory()
    with services.locks.holding_run(services.ledger.run_id), translating():
        for run_id in inventory.runs():
            if not services.locks.is_run_alive(run_id):
                inventory.forget(run_id)
        inventory.begin()
        try:
            yield
            if not inventory.is_kept():
                raise TryAgain(
                    "another run took this one for dead and cleared away what it had listed; what was done is saved",
                    hint="run the same command again: it looks at everything once more",
                )
        finally:
            _clear_away(services)


def _clear_away(services: Services) -> None:
    try:
        with translating():
            services.ledger.inventory().clear()
    except RehouseError as error:
        log.warning("the inventory stays until the next run clears it away: %s", error.message)


def _reported(services: Services, tenant: Tenant, report: TenantReport, order: Order, *, listed: bool) -> TenantReport:
    try:
        return migrate(services, tenant, report, order, listed=listed)
    except RehouseError as error:
        report.ended_by(error)
        return report
