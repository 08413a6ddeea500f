"""Check that the database names exactly the buckets that rehouse made for its tenants. A restored old dump may not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from rehouse.config import Settings
from rehouse.core.errors import Halt
from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import Tenant
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.schema import is_current
from rehouse.operations.buckets.earlier_homes import earlier_home_message, earlier_homes, outdated_message
from rehouse.operations.buckets.homes import LOST_HOME_HINT, home_of, lost_home_message, missing_homes
from rehouse.operations.checks.check import Check, Outcome, failure, no_answer, notice, ok, try_check
from rehouse.s3.buckets.control import Control

HOMES = "tenants' buckets: named by the database"


def check_homes(settings: Settings, control: Control) -> Check:
    """Check that every tenant's bucket is named: in its row after the cutover, in the ledger before."""

    def look() -> Check:
        outdated: list[str] = []
        with closing(Ledger.open(settings, writes=False, may_be_older=True)) as ledger:
            if ledger.catalog.version and not is_current(ledger.catalog):
                told = "the ledger has an older version, so it cannot be read"
                return no_answer(HOMES, told, "run `rehouse init` to upgrade it; the next migrate does so too")
            tenants = ledger.tenants()
            found = [_problem_of(settings, control, ledger, tenant, outdated) for tenant in tenants]
            found += _lost_homes(settings, control, ledger, tenants)
        problems = [problem for problem in found if problem]
        if problems:
            return failure(HOMES, "; ".join(told for told, _ in problems), "; ".join(hint for _, hint in problems))
        if outdated:
            return notice(HOMES, "; ".join(outdated))
        return ok(HOMES, "every bucket that rehouse made for a tenant is named in its row or in the ledger")

    return try_check(HOMES, look, denied=Outcome.COULD_NOT_CHECK)


def _problem_of(
    settings: Settings, control: Control, ledger: Ledger, tenant: Tenant, outdated: list[str]
) -> tuple[str, str] | None:
    """Return what is wrong with the tenant's bucket, with a hint; add to `outdated` what to know of earlier buckets."""
    try:
        if home_of(tenant, settings, ledger.migration(tenant)):
            return None
    except Halt as contradiction:
        return contradiction.message, contradiction.hint
    earlier = earlier_homes(settings, control, ledger, tenant)
    outdated += [outdated_message(tenant, each) for each in earlier.outdated]
    return earlier_home_message(settings, tenant, earlier) if earlier.needed or earlier.unclear else None


def _lost_homes(
    settings: Settings, control: Control, ledger: Ledger, tenants: Sequence[Tenant]
) -> list[tuple[str, str] | None]:
    """Return what is wrong with tenants that were cut over into a bucket that does not exist."""
    begun = [(tenant, migration) for tenant in tenants if (migration := ledger.migration(tenant))]
    homes = {
        migration.home_bucket: (tenant, migration)
        for tenant, migration in begun
        if is_at_least(migration.phase, Phase.CUT_OVER) and tenant.home == migration.home_bucket
    }
    lost = [homes[home] for home in sorted(missing_homes(settings, control, homes.keys()))]
    counted = [(tenant, each, ledger.documents(each).counts().at_home) for tenant, each in lost]
    return [
        (lost_home_message(tenant.slug, each.home_bucket, rows), LOST_HOME_HINT)
        for tenant, each, rows in counted
        if rows
    ]
