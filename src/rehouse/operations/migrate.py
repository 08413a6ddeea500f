"""Migrate a tenant: plan, provision, copy, verify, cut over; run again, it does only what is left.

The phases follow core.lifecycle. A document that cannot be moved is an error of the report; the tenant's other documents
are cut over all the same. In `cut_over` and later a run is a sweep: copy, verify and flip whatever is not at home.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rehouse.core.errors import RehouseError, StorageRefused, TryAgain
from rehouse.core.lifecycle import Event, Phase, Status, is_at_least
from rehouse.core.model import Migration, Tenant
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
    migration = services.ledger.begin_run(
        tenant, home or new_home(tenant, services.settings, services.control.identity().account)
    )
    if migration.phase is Phase.ROLLED_BACK:
        migration = services.ledger.advance(migration, Event.PLANNED_AGAIN)
    return migration


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
    for _ in range(ROUNDS):
        migration, settled = _round(services, tenant, migration, until, report)
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
            if error.code != "BucketAlreadyExists" or migration.phase is not Phase.PLANNED:
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
    if documents.counts().outside == 0:
        return
    if not listed:
        survey.list_for_one_tenant(services, documents)
    survey.list_home(services, migration.home_bucket)


def _round(
    services: Services, tenant: Tenant, migration: Migration, until: Phase, report: TenantReport
) -> tuple[Migration, bool]:
    """One round of copy, verify, flip; return the migration and whether nothing is left that another round could do."""
    if migration.phase in (Phase.COPIED, Phase.VERIFIED):
        migration = services.ledger.advance(migration, Event.CHANGES_FOUND, "a run looks for changes again")
    tally = copy_documents(services, migration, tenant.slug)
    _add(report, tally)
    if migration.phase is Phase.PROVISIONED:
        migration = services.ledger.advance(migration, Event.ALL_COPIED)
    if until is Phase.COPIED and migration.phase is Phase.COPIED:
        return migration, True
    proofs, dropped = check_copies(services, migration, tenant.slug)
    report.proofs += proofs
    if migration.phase is Phase.COPIED:
        event = Event.MISMATCH_FOUND if dropped else Event.ALL_MATCHED
        migration = services.ledger.advance(migration, event, f"{dropped} copies do not hold" if dropped else None)
    if dropped or (until is Phase.VERIFIED and migration.phase is Phase.VERIFIED):
        return migration, not dropped
    migration = cutover.switch_home(services, migration, tenant)
    flips = cutover.flip_copies(services, migration, tenant.slug)
    report.this_run += flips.flipped
    return migration, not (tally.changed or flips.flipped or flips.changed)


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
        if not all(is_done(services, tenant, TenantReport(tenant.slug)) for tenant in tenants):
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
            services.ledger.inventory().clear()


def _reported(services: Services, tenant: Tenant, until: Phase) -> TenantReport:
    report = TenantReport(tenant.slug)
    try:
        return migrate(services, tenant, report, until=until, listed=True)
    except RehouseError as error:
        report.error, report.hint = error.message, error.hint
        return report
