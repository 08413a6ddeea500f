"""Roll a tenant back: its home is given back, then its rows return to the shared bucket, round by round, with the newest bytes.

The protocol of the way there with the buckets exchanged. Nothing is deleted and nothing that exists is overwritten. Nothing
is given back unless rows can be flipped back. Run again it sweeps what came later; from `released` on it is refused, because
sources are being removed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from rehouse.core.errors import Refused, RehouseError
from rehouse.core.late_writes import CONFLICT
from rehouse.core.lifecycle import DocumentState, Event, Phase, is_at_least
from rehouse.core.model import Migration, ObjectRef, Tenant
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.core.returns import Returning
from rehouse.ledger.documents import Outstanding
from rehouse.ledger.ledger import translating
from rehouse.ledger.returns import Returns
from rehouse.operations.buckets.homes import home_of
from rehouse.operations.migrate import run_inventory
from rehouse.operations.report import ReturnReport, close_return, close_return_after, is_home_adopted
from rehouse.operations.selection import for_each
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.flips import flip_copies
from rehouse.operations.steps.late_writes import look_at_sources, sweep_late_writes
from rehouse.operations.steps.returns import Decided, ReturnPass, decided_pages, return_documents
from rehouse.operations.steps.trials import try_return
from rehouse.operations.steps.written_after import send_after

log = logging.getLogger(__name__)

ROUNDS = 10
PARALLEL = 4


def roll_back_one(services: Services, tenant: Tenant, *, dry_run: bool = False) -> ReturnReport:
    """Roll one tenant back, or with `dry_run` say what would happen. Raises Refused where there is nothing to roll back."""
    with run_inventory(services):
        return roll_back(services, tenant, ReturnReport(tenant.slug, tenant.id, dry_run=dry_run))


def roll_back_all(services: Services, tenants: Sequence[Tenant], *, dry_run: bool = False) -> list[ReturnReport]:
    """Roll back every one of these tenants that was begun; one that fails does not stop the others."""
    begun = {tenant: found for tenant in tenants if (found := services.ledger.migration(tenant))}
    with run_inventory(services):
        is_listed = any(migration.phase is Phase.CUT_OVER for migration in begun.values())
        is_listed = is_listed or _is_listing_cheaper(services, begun.values())
        if is_listed:
            survey.list_shared_buckets(services)
        return list(
            for_each(
                services,
                list(begun),
                lambda mine, tenant: _reported(mine, tenant, dry_run=dry_run, listed=is_listed),
                parallel=1 if dry_run else PARALLEL,
            )
        )


def _reported(services: Services, tenant: Tenant, *, dry_run: bool, listed: bool) -> ReturnReport:
    report = ReturnReport(tenant.slug, tenant.id, dry_run=dry_run)
    try:
        return roll_back(services, tenant, report, listed=listed)
    except RehouseError as error:
        report.ended_by(error)
        return report


def roll_back(services: Services, tenant: Tenant, report: ReturnReport, *, listed: bool | None = None) -> ReturnReport:
    """Bring the tenant back and fill in the report, which is returned; with its `dry_run` nothing is changed.

    `listed`: whether the shared buckets are in the run's inventory, as decided for all tenants; None: this run decides.

    Raises Refused from `released` on and where nothing was begun, TryAgain if another operator works on the tenant, Halt
    where the ledger and the tenant's row disagree; whatever was done until then is saved.
    """
    with translating(), services.locks.holding(tenant.id, tenant.slug):
        tenant = services.ledger.reread(tenant)
        migration = _allowed(services, tenant)
        report.phase, report.home_bucket = migration.phase, migration.home_bucket
        if report.dry_run:
            return _foresee(services, tenant, migration, report)
        migration = services.ledger.begin_run(tenant, migration.home_bucket)
        log.info("%s: run %s rolls back from %s", tenant.slug, migration.run_id, migration.phase)
        try:
            with translating():
                _advance(services, tenant, migration, report, listed=listed)
        except RehouseError as error:
            close_return_after(services, tenant, report, error)
            raise
        return report


def _allowed(services: Services, tenant: Tenant) -> Migration:
    migration = services.ledger.migration(tenant)
    if migration is None:
        raise Refused(
            f"{tenant.slug} was never migrated: there is nothing to roll back",
            hint="`rehouse status` shows how far every tenant is",
        )
    if is_at_least(migration.phase, Phase.RELEASED):
        raise Refused(
            f"{tenant.slug} is {migration.phase}: its sources are being removed, or are removed already",
            hint="its documents are safe in their home; there is no way back any more",
        )
    home_of(tenant, services.settings, migration)
    return migration


def _advance(
    services: Services, tenant: Tenant, migration: Migration, report: ReturnReport, *, listed: bool | None
) -> None:
    is_adopted = is_home_adopted(tenant, migration)
    if migration.phase is not Phase.ROLLED_BACK:
        try_return(services, migration, tenant, is_adopted=is_adopted)
        migration = _give_home_back(services, tenant, migration, report, listed=bool(listed))
    run = _pass(services, migration, tenant, is_adopted=is_adopted)
    if run.total or run.returns.counts().returned:
        if listed is None:
            _list_sources(services, run)
        _rounds(services, run, tenant, report)
    close_return(services, migration, report, None, is_adopted=is_adopted)


def _give_home_back(
    services: Services, tenant: Tenant, migration: Migration, report: ReturnReport, *, listed: bool
) -> Migration:
    """Bring home what was written late, then send uploads where they went before: from here on the phase is rolled back."""
    if migration.phase is Phase.CUT_OVER:
        looked = look_at_sources(services, migration, listed=listed)
        report.late_writes += sweep_late_writes(services, migration, tenant.slug, looked.faults).recopied
    services.keep_locks()

    def give_back() -> Migration:
        with services.ledger.connection.transaction():
            returns = services.ledger.of(migration, Returns)
            returns.supersede_forward()
            if migration.phase is Phase.CUT_OVER:
                returns.return_home()
            return services.ledger.advance(migration, Event.HOME_RETURNED)

    return services.ledger.patiently(give_back)


def _pass(services: Services, migration: Migration, tenant: Tenant, *, is_adopted: bool) -> ReturnPass:
    at_home = services.ledger.of(migration, Returns).counts().at_home
    places = services.places(migration.home_bucket)
    return ReturnPass(services, migration, tenant.slug, is_adopted, places, at_home)


def _list_sources(services: Services, run: ReturnPass) -> None:
    known, _ = services.ledger.inventory().totals(services.settings.require_shared_buckets()[0])
    if not known and _is_listing_cheaper(services, [run.migration]):
        survey.list_shared_buckets(services)


def _is_listing_cheaper(services: Services, migrations: Collection[Migration]) -> bool:
    """Return whether listing the shared buckets takes fewer requests than a HEAD for each document of these at home."""
    at_home = sum(services.ledger.of(each, Returns).counts().at_home for each in migrations)
    one = next(iter(migrations), None)
    return one is not None and at_home * LISTED_PER_REQUEST >= services.ledger.documents(one).rows_with_key()


def _rounds(services: Services, run: ReturnPass, tenant: Tenant, report: ReturnReport) -> None:
    for _ in range(ROUNDS):
        run = _pass(services, run.migration, tenant, is_adopted=run.is_adopted)
        survey.list_home(services, run.migration.home_bucket)
        sent = send_after(services, run.migration, run.slug)
        tally = return_documents(run)
        flips = flip_copies(services, run.migration, run.slug)
        report.late_writes += sent.recopied
        report.this_run += flips.flipped
        report.copied += tally.copied
        report.copied_bytes += tally.copied_bytes
        report.adopted += tally.adopted
        report.old_pointers += tally.old_pointers
        if not (sent.recopied or flips.flipped or flips.changed or tally.copied):
            return


def _foresee(services: Services, tenant: Tenant, migration: Migration, report: ReturnReport) -> ReturnReport:
    """Fill in what would happen."""
    is_adopted = is_home_adopted(tenant, migration)
    run = _pass(services, migration, tenant, is_adopted=is_adopted)
    report.status, report.previous_home = migration.status, migration.previous_home
    if run.total:
        _list_sources(services, run)
        survey.list_home(services, migration.home_bucket)
        for page in decided_pages(run):
            _foresee_page(page, report)
    standings = run.tally.standings
    report.old_pointers, report.copied = standings[Returning.OLD_POINTER], standings[Returning.TO_COPY]
    report.adopted = standings[Returning.ADOPT] + standings[Returning.COPIED]
    report.stays = standings[Returning.STAYS]
    return report


def _foresee_page(page: Sequence[Decided], report: ReturnReport) -> None:
    for seen, decision, fault in page:
        if decision.standing is Returning.TO_COPY and decision.task:
            report.copied_bytes += decision.task.size
        code = (
            fault.code if fault else decision.reason or (CONFLICT if decision.standing is Returning.CONFLICT else None)
        )
        if code:
            source = ObjectRef(report.home_bucket or "", seen.document.key or "")
            message = fault.message if fault else decision.detail
            report.outstanding.append(
                Outstanding(seen.document.id, source, DocumentState.QUARANTINED, code, message, None, 0)
            )
            report.still_at_home += 1
