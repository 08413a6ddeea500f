"""Roll a tenant back: give its home back, then return its rows to the shared bucket, round by round, with the newest bytes.

It is the protocol of a migration with the buckets exchanged. It deletes nothing and overwrites no existing object. It gives a
home back only if rows can be flipped back. A later run sweeps what was written since. From `released` on it is refused, because
sources are being removed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from rehouse.core.copies import is_listing_cheaper
from rehouse.core.errors import Refused, RehouseError
from rehouse.core.late_writes import CONFLICT
from rehouse.core.lifecycle import DocumentState, Event, Phase, is_at_least
from rehouse.core.model import Migration, ObjectRef, Tenant
from rehouse.core.returns import Returning
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.returns import Returns
from rehouse.operations.buckets.homes import home_of, is_home_gone, refuse_lost_home
from rehouse.operations.report import Outcome, ReturnReport, close_return, close_return_after, is_home_adopted
from rehouse.operations.selection import for_each
from rehouse.operations.services import Services
from rehouse.operations.steps.flips import flip_copies
from rehouse.operations.steps.late_writes import look_at_sources, sweep_late_writes
from rehouse.operations.steps.late_writes_at_home import send_late_writes
from rehouse.operations.steps.returns import DecidedReturn, ReturnPass, decide_pages, return_documents
from rehouse.operations.steps.run import run_inventory
from rehouse.operations.steps.survey import list_home, list_shared_buckets
from rehouse.operations.steps.trials import try_return

log = logging.getLogger(__name__)

ROUNDS = 10
PARALLEL = 4


@dataclass(frozen=True, slots=True)
class ReturnRun:
    """The state of one tenant's rollback.

    `is_adopted`: the home was the application's own before. `is_listed`: whether the shared buckets are in the run's inventory, as
    decided for all tenants; None: this run decides. `changes`: how many documents the last round has changed.
    """

    services: Services
    tenant: Tenant
    migration: Migration
    report: ReturnReport
    is_adopted: bool
    is_listed: bool | None
    changes: int = 0

    @property
    def phase(self) -> Phase:
        """The phase of the migration."""
        return self.migration.phase

    def new_pass(self) -> ReturnPass:
        """Return a new pass over the documents that are at home now."""
        at_home = self.services.ledger.of(self.migration, Returns).counts().at_home
        places = self.services.places(self.migration.home_bucket)
        return ReturnPass(self.services, self.migration, self.tenant.slug, self.is_adopted, places, at_home)


def take_back(run: ReturnRun) -> Iterator[ReturnRun]:
    """Return a tenant to the shared bucket; yield the run after the home is given back and after each round.

    If its home was given back before, this is a sweep: what was written later returns as well.
    """
    if run.phase is not Phase.ROLLED_BACK:
        try_return(run.services, run.migration, run.tenant, is_adopted=run.is_adopted)
        yield (run := _bring_late_writes_home(run))
        yield (run := _give_home_back(run))
    if not _has_documents(run):
        return
    if run.is_listed is None:
        _survey_sources(run)
    for _ in range(ROUNDS):
        list_home(run.services, run.migration.home_bucket)
        yield (run := _return_round(run))
        if not run.changes:
            return


def roll_back_one(services: Services, tenant: Tenant, *, dry_run: bool = False) -> ReturnReport:
    """Roll one tenant back, or with `dry_run` report what would happen.

    Raises Refused if there is nothing to roll back, and the error that ended the run, if there was one.
    """
    with run_inventory(services):
        return roll_back(services, tenant, dry_run=dry_run).require_report()


def roll_back_all(services: Services, tenants: Sequence[Tenant], *, dry_run: bool = False) -> list[ReturnReport]:
    """Roll back all of these tenants whose migration has begun. One that fails does not stop the others."""
    begun = {tenant: found for tenant in tenants if (found := services.ledger.migration(tenant))}
    with run_inventory(services):
        is_listed = any(migration.phase is Phase.CUT_OVER for migration in begun.values())
        is_listed = is_listed or _is_shared_listing_cheaper(services, begun.values())
        if is_listed:
            list_shared_buckets(services)
        return list(
            for_each(
                services,
                list(begun),
                lambda mine, tenant: _try_roll_back(mine, tenant, begun[tenant], dry_run=dry_run, is_listed=is_listed),
                parallel=1 if dry_run else PARALLEL,
            )
        )


def _try_roll_back(
    services: Services, tenant: Tenant, before: Migration, *, dry_run: bool, is_listed: bool
) -> ReturnReport:
    try:
        return roll_back(services, tenant, dry_run=dry_run, is_listed=is_listed).report
    except RehouseError as error:
        report = ReturnReport(
            tenant.slug, tenant.id, before.phase, before.status, before.state, before.home_bucket, dry_run=dry_run
        )
        return report.end_with(error)


def roll_back(
    services: Services, tenant: Tenant, *, dry_run: bool = False, is_listed: bool | None = None
) -> Outcome[ReturnReport]:
    """Roll one tenant back; return its report and the error that ended the run, if there was one. `dry_run` changes nothing.

    `is_listed`: whether the shared buckets are in the run's inventory, as decided for all tenants; None: this run decides.

    Raises Refused from `released` on and before a migration, TryAgain if another operator works on the tenant, Halt if the ledger
    and the tenant's row disagree. What was done until an error is saved.
    """
    with translate_errors(), services.locks.hold(tenant.id, tenant.slug):
        tenant = services.ledger.reread(tenant)
        migration = _require_way_back(services, tenant)
        report = ReturnReport(
            tenant.slug, tenant.id, migration.phase, home_bucket=migration.home_bucket, dry_run=dry_run
        )
        run = ReturnRun(services, tenant, migration, report, is_home_adopted(tenant, migration), is_listed)
        if dry_run:
            return Outcome(_foresee(run))
        migration = services.ledger.begin_run(tenant, migration.home_bucket)
        log.info("%s: run %s rolls back from %s", tenant.slug, migration.run_id, migration.phase)
        run = replace(run, migration=migration)
        try:
            with translate_errors():
                for reached in take_back(run):
                    run = reached
                return Outcome(close_return(services, run.migration, run.report, is_adopted=run.is_adopted))
        except RehouseError as error:
            return Outcome(close_return_after(services, tenant, run.report, error), error)


def _require_way_back(services: Services, tenant: Tenant) -> Migration:
    migration = services.ledger.migration(tenant)
    if migration is None:
        raise Refused(
            f"{tenant.slug} was never migrated: there is nothing to roll back",
            hint="`rehouse status` shows how far every tenant is",
            subject=tenant.slug,
        )
    if is_at_least(migration.phase, Phase.RELEASED):
        raise Refused(
            f"{tenant.slug} is {migration.phase}: its sources are being removed, or are removed already",
            hint="its documents are in its own bucket, and their sources are removed: there is no way back",
            subject=tenant.slug,
        )
    shared = services.settings.require_shared_buckets()[0]
    if shared in services.settings.dropped_buckets:
        raise Refused(
            f"{tenant.slug} cannot go back: the shared bucket {shared} was removed by `rehouse cleanup --drop-bucket`",
            hint=f"its documents are safe in {migration.home_bucket}",
            subject=tenant.slug,
        )
    home_of(tenant, services.settings, migration)
    refuse_lost_home(services, migration, tenant.slug)
    return migration


def _bring_late_writes_home(run: ReturnRun) -> ReturnRun:
    if run.phase is not Phase.CUT_OVER:
        return run
    looked = look_at_sources(run.services, run.migration, listed=bool(run.is_listed))
    late = sweep_late_writes(run.services, run.migration, run.tenant.slug, looked.faults)
    return replace(run, report=run.report.add(late_writes=late.recopied))


def _give_home_back(run: ReturnRun) -> ReturnRun:
    """Direct uploads to where they went before the migration. From here on the phase is `rolled_back`."""
    services, migration = run.services, run.migration
    services.keep_locks()

    def give_back() -> Migration:
        with services.ledger.connection.transaction():
            returns = services.ledger.of(migration, Returns)
            returns.supersede_forward()
            if migration.phase is Phase.CUT_OVER:
                returns.return_home()
            return services.ledger.advance(migration, Event.HOME_RETURNED)

    return replace(run, migration=services.ledger.run_with_retries(give_back))


def _has_documents(run: ReturnRun) -> bool:
    """Return whether documents are at home, or were returned before: one of them may have been written since.

    Not in a bucket that is gone: an older database names a bucket that was removed after it was dumped.
    """
    counts = run.services.ledger.of(run.migration, Returns).counts()
    return counts.at_home > 0 or (counts.returned > 0 and not is_home_gone(run.services, run.migration))


def _survey_sources(run: ReturnRun) -> None:
    """List the shared buckets if that takes fewer requests than HEADs, unless they are in the inventory already."""
    known, _ = run.services.ledger.inventory().totals(run.services.settings.require_shared_buckets()[0])
    if not known and _is_shared_listing_cheaper(run.services, [run.migration]):
        list_shared_buckets(run.services)


def _is_shared_listing_cheaper(services: Services, migrations: Collection[Migration]) -> bool:
    """Return whether listing the shared buckets takes fewer requests than a HEAD for each document at home."""
    at_home = sum(services.ledger.of(each, Returns).counts().at_home for each in migrations)
    one = next(iter(migrations), None)
    return one is not None and is_listing_cheaper(at_home, services.ledger.documents(one).rows_with_key())


def _return_round(run: ReturnRun) -> ReturnRun:
    """Send late writes at home after their documents, return the documents at home, and flip their rows back."""
    services, slug = run.services, run.tenant.slug
    this_pass = run.new_pass()
    sent = send_late_writes(services, run.migration, slug)
    tally = return_documents(this_pass)
    flips = flip_copies(services, run.migration, slug)
    report = run.report.add(
        late_writes=sent.recopied,
        this_run=flips.flipped,
        copied=tally.copied,
        bytes_copied=tally.bytes_copied,
        adopted=tally.adopted,
        old_pointers=tally.old_pointers,
    )
    return replace(run, report=report, changes=sent.recopied + flips.flipped + flips.changed + tally.copied)


def _foresee(run: ReturnRun) -> ReturnReport:
    """Return the report of what would happen."""
    outstanding: list[Outstanding] = []
    bytes_copied = 0
    this_pass = run.new_pass()
    if this_pass.total:
        _survey_sources(run)
        list_home(run.services, run.migration.home_bucket)
        for page in decide_pages(this_pass):
            bytes_copied += sum(map(_bytes_to_copy, page))
            outstanding += [problem for each in page if (problem := _foresee_problem(run, each))]
    standings = this_pass.tally.standings
    return replace(
        run.report,
        status=run.migration.status,
        state=run.migration.state,
        previous_home=run.migration.previous_home,
        old_pointers=standings[Returning.OLD_POINTER],
        copied=standings[Returning.TO_COPY],
        bytes_copied=bytes_copied,
        adopted=standings[Returning.ADOPT] + standings[Returning.COPIED],
        stays=standings[Returning.STAYS],
        outstanding=outstanding,
        still_at_home=len(outstanding),
    )


def _bytes_to_copy(decided: DecidedReturn) -> int:
    decision = decided.decision
    return decision.task.size if decision.standing is Returning.TO_COPY and decision.task else 0


def _foresee_problem(run: ReturnRun, decided: DecidedReturn) -> Outstanding | None:
    """Return what would keep a document at home, None if it would return."""
    seen, decision, fault = decided
    code = fault.code if fault else decision.reason or (CONFLICT if decision.standing is Returning.CONFLICT else None)
    if not code:
        return None
    source = ObjectRef(run.migration.home_bucket, seen.document.key or "")
    message = fault.message if fault else decision.detail
    return Outstanding(seen.document.id, source, DocumentState.QUARANTINED, code, message, None, 0)
