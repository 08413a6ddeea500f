"""Does the database name every bucket that rehouse made for its tenants? One restored from an old dump does not."""

from __future__ import annotations

from contextlib import closing

from rehouse.config import Settings
from rehouse.core.errors import Halt
from rehouse.core.model import Tenant
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.schema import is_current
from rehouse.operations.buckets.homes import earlier_home_message, earlier_homes, home_of
from rehouse.operations.checks.check import Check, Outcome, failure, no_answer, ok, try_check
from rehouse.s3.buckets.control import Control

HOMES = "tenants' buckets: named by the database"


def check_homes(settings: Settings, control: Control) -> Check:
    """Return whether every tenant's bucket is named: in its row once it was cut over, in the ledger before."""

    def look() -> Check:
        with closing(Ledger.open(settings, writes=False, may_be_older=True)) as ledger:
            if ledger.catalog.version and not is_current(ledger.catalog):
                told = "an earlier rehouse made the ledger, so it cannot be read"
                return no_answer(HOMES, told, "`rehouse init` upgrades it, the next migrate does it too")
            found = [_problem_of(settings, control, ledger, tenant) for tenant in ledger.tenants()]
        problems = [problem for problem in found if problem]
        if not problems:
            return ok(HOMES, "every bucket that rehouse made for a tenant is named in its row or in the ledger")
        return failure(HOMES, "; ".join(told for told, _ in problems), "; ".join(hint for _, hint in problems))

    return try_check(HOMES, look, denied=Outcome.COULD_NOT_CHECK)


def _problem_of(settings: Settings, control: Control, ledger: Ledger, tenant: Tenant) -> tuple[str, str] | None:
    try:
        if home_of(tenant, settings, ledger.migration(tenant)):
            return None
    except Halt as contradiction:
        return contradiction.message, contradiction.hint
    earlier = earlier_homes(settings, control, ledger, tenant)
    is_any = earlier.made or earlier.unclear
    return earlier_home_message(settings, tenant, earlier) if is_any else None
