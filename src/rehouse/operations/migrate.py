"""Migrate a tenant: plan, provision, copy, verify, cut over; run again, it does only what is left.

The phases follow core.lifecycle. A document that cannot be moved is an error of the report; the tenant's other documents
are cut over all the same. In `cut_over` and later a run is a sweep: copy, verify and flip whatever is not at home.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from rehouse.core.errors import Halt, RehouseError, StorageRefused, TryAgain
from rehouse.core.lifecycle import Event, Phase, Status, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.ledger.ledger import translating
from rehouse.operations import cutover, survey
from rehouse.operations.closing import TenantReport, close_after, close_run
from rehouse.operations.copy import copy_documents
from rehouse.operations.homes import home_of, new_home
from rehouse.operations.pages import Tally
from rehouse.operations.proving import check_copies
from rehouse.operations.provision import provision
from rehouse.operations.selection import for_each
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

ROUNDS = 10
INSISTENCE = 3
"""How often a run copies, verifies and sweeps again before it leaves what still changes to the next run."""
NAMES = 3


def migrate(
    services: Services, tenant: Tenant, report: TenantReport, *, until: Phase = Phase.CUT_OVER, listed: bool = False
) -> TenantReport:
    """Bring the tenant to `until` (or sweep, if it is there already) and fill in the report, which is returned.

    Raises TryAgain if another operator works on the tenant, Refused or Halt where the run cannot go on; whatever was done
    until then is saved, and the tenant's row says what went wrong.
    """
    with translating(), services.locks.holding(tenant.id, tenant.slug):
        tenant = services.ledger.tenant(tenant.slug)
        if is_done(services, tenant, report):
            return report
        migration = _begin(services, tenant)
        report.home_bucket = migration.home_bucket
        log.info(
            "%s: run %s begins at %s, home %s", tenant.slug, migration.run_id, migration.phase, migration.home_bucket
        )
        try:
            with translating():
                migration = _advance_to(services, tenant, migration, until, report, listed=listed)
        except RehouseError as error:
            close_after(services, tenant, report, error)
            raise
        close_run(services, migration, report, None)
        return report


def is_done(services: Services, tenant: Tenant, report: TenantReport) -> bool:
    """Return whether the tenant is completed and has nothing outside its home; then it is left as it is: no row changes."""
    migration = services.ledger.migration(tenant)
    if not migration or migration.status is not Status.COMPLETED or not is_at_least(migration.phase, Phase.CUT_OVER):
        return False
    home_of(tenant, services.settings, migration)
    documents = services.ledger.documents(migration)
    counts = documents.counts()
    report.phase, report.status, report.home_bucket = migration.phase, migration.status, migration.home_bucket
    report.documents_migrated, _ = documents.migrated()
    report.without_key, report.accepted = counts.without_key, counts.accepted
    return counts.outside <= counts.accepted


def _begin(services: Services, tenant: Tenant) -> Migration:
    before = services.ledger.migration(tenant)
    home = home_of(tenant, services.settings, before)
    if home:
        _refuse_somebody_elses(services, tenant, home)
    migration = services.ledger.begin_run(
        tenant, home or new_home(tenant, services.settings, services.control.identity().account)
    )
    if migration.phase is Phase.ROLLED_BACK:
        migration = services.ledger.advance(migration, Event.PLANNED_AGAIN)
    return migration


def _refuse_somebody_elses(services: Services, tenant: Tenant, home: str) -> None:
    others = services.ledger.others_at(home, tenant)
    if others or home == services.settings.log_bucket:
        whose = f"also the home of {', '.join(others)}" if others else "the bucket of the access logs"
        raise Halt(
            f"{tenant.slug}: its bucket {home} is {whose}",
            hint="give the tenant's row in tenants.aws_bucket_name a bucket of its own, or NULL",
        )


def _advance_to(
    services: Services, tenant: Tenant, migration: Migration, until: Phase, report: TenantReport, *, listed: bool
) -> Migration:
    report.phase = migration.phase
    if until is Phase.PLANNED:
        return migration
    migration = _provision(services, tenant, migration, report)
    if until is Phase.PROVISIONED:
        return migration
    _survey(services, migration, listed=listed)
    for number in range(ROUNDS):
        migration, settled = _round(services, tenant, migration, until, report, insist=number < INSISTENCE)
        report.phase = migration.phase
        if settled:
            break
    return migration


def _provision(services: Services, tenant: Tenant, migration: Migration, report: TenantReport) -> Migration:
    for _ in range(NAMES):
        try:
            made = provision(services, tenant, migration.home_bucket)
            break
        except StorageRefused as error:
            is_named_by_us = tenant.home != migration.home_bucket and migration.phase is Phase.PLANNED
            if error.code != "BucketAlreadyExists" or not is_named_by_us:
                raise
            name = new_home(tenant, services.settings, services.control.identity().account)
            migration = services.ledger.rename_home(migration, name)
    else:
        raise TryAgain(f"{tenant.slug}: every bucket name tried is taken", hint="set another REHOUSE_BUCKET_PREFIX")
    report.not_offered, report.notes, report.home_bucket = made.not_offered, made.notes, migration.home_bucket
    if migration.phase is Phase.PLANNED:
        return services.ledger.advance(migration, Event.BUCKET_READY)
    return migration


def _survey(services: Services, migration: Migration, *, listed: bool) -> None:
    documents = services.ledger.documents(migration)
    counts = documents.counts()
    if counts.outside == 0:
        return
    if not listed:
        survey.list_for_one_tenant(services, documents)
    if counts.outside * LISTED_PER_REQUEST >= counts.at_home:
        survey.list_home(services, migration.home_bucket)


def _round(
    services: Services, tenant: Tenant, migration: Migration, until: Phase, report: TenantReport, *, insist: bool
) -> tuple[Migration, bool]:
    """One round of copy, verify, flip; return the migration and whether nothing is left that another round could do.

    `insist`: copies that do not hold are made again first; later the others are cut over without them.
    """
    was_live = is_at_least(migration.phase, Phase.CUT_OVER)
    if migration.phase in (Phase.COPIED, Phase.VERIFIED):
        migration = services.ledger.advance(migration, Event.CHANGES_FOUND, "a run looks for changes again")
    tally = copy_documents(services, migration, tenant.slug, is_adopted=tenant.home == migration.home_bucket)
    _add(report, tally)
    if migration.phase is Phase.PROVISIONED:
        migration = services.ledger.advance(migration, Event.ALL_COPIED)
    if until is Phase.COPIED and migration.phase is Phase.COPIED:
        return migration, True
    proofs, dropped = check_copies(services, migration, tenant.slug)
    report.proofs += proofs
    if migration.phase is Phase.COPIED:
        event = Event.MISMATCH_FOUND if dropped and insist else Event.ALL_MATCHED
        migration = services.ledger.advance(migration, event, f"{dropped} copies do not hold" if dropped else None)
    if (dropped and insist) or (until is Phase.VERIFIED and migration.phase is Phase.VERIFIED):
        return migration, not (dropped and insist)
    migration = cutover.switch_home(services, migration, tenant)
    flips = cutover.flip_copies(services, migration, tenant.slug)
    report.this_run += flips.flipped
    return migration, was_live and not (tally.changed or flips.flipped or flips.changed)


def _add(report: TenantReport, tally: Tally) -> None:
    report.copied += tally.copied
    report.adopted += tally.adopted
    report.copied_bytes += tally.copied_bytes


def migrate_all(
    services: Services,
    tenants: Sequence[Tenant],
    *,
    until: Phase = Phase.CUT_OVER,
    parallel: int = 1,
    fail_fast: bool = False,
) -> list[TenantReport]:
    """Migrate every tenant; the shared buckets are listed once. A failed tenant does not stop the others."""
    with run_inventory(services):
        if not all(_looks_done(services, tenant) for tenant in tenants):
            survey.list_shared_buckets(services)
        return list(
            for_each(
                services,
                tenants,
                lambda mine, tenant: _reported(mine, tenant, until),
                parallel=parallel,
                enough=lambda report: fail_fast and report.errors > 0,
            )
        )


def migrate_one(services: Services, tenant: Tenant, *, until: Phase = Phase.CUT_OVER) -> TenantReport:
    """Migrate one tenant, its inventory cleared away at the end."""
    with run_inventory(services):
        return migrate(services, tenant, TenantReport(tenant.slug), until=until)


@contextmanager
def run_inventory(services: Services) -> Iterator[None]:
    """Hold the run's inventory for a while; inventories of runs that died are cleared away first."""
    with services.locks.holding_run(services.ledger.run_id), translating():
        for run_id in services.ledger.inventory().runs():
            if not services.locks.is_run_alive(run_id):
                services.ledger.inventory().forget(run_id)
        try:
            yield
        finally:
            _clear_away(services)


def _clear_away(services: Services) -> None:
    try:
        services.ledger.inventory().clear()
    except psycopg.Error as error:
        log.warning("the inventory stays until the next run clears it away: %s", type(error).__name__)


def _looks_done(services: Services, tenant: Tenant) -> bool:
    try:
        return is_done(services, tenant, TenantReport(tenant.slug))
    except RehouseError:  # its own run will say so
        return False


def _reported(services: Services, tenant: Tenant, until: Phase) -> TenantReport:
    report = TenantReport(tenant.slug)
    try:
        return migrate(services, tenant, report, until=until, listed=True)
    except RehouseError as error:
        report.error, report.hint = error.message, error.hint
        return report
