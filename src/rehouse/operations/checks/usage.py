"""Usage: what the triggers could not do, and how much waits to be added to tenant_usage."""

from __future__ import annotations

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.inspection import Inspection
from rehouse.operations.checks.check import Check, notice, ok

USAGE = "database: usage"
_MANY = 10_000


def check_usage(inspection: Inspection, found: Catalog) -> Check:
    """Return the check of tenant_usage; what is wrong there hinders no migration."""
    state = inspection.usage(found)
    if state is None:
        return notice(USAGE, "tables that hold usage are missing", "`rehouse init` makes them and counts again")
    if state.faults:
        step, code, message = state.faults[0]
        what = "some changes could not be counted" if step == "count" else "pending changes could not be added"
        way_out = "`rehouse init` counts again" if step == "count" else "correct this, then run `rehouse status`"
        return notice(USAGE, f"{what}: {message} (SQLSTATE {code})", way_out)
    if state.pending > _MANY:
        told = f"{state.pending:,} changes wait to be added to tenant_usage"
        return notice(USAGE, told, "`rehouse status` adds them: run it by a timer if all your writers are SERIALIZABLE")
    return ok(USAGE, f"kept by triggers; {state.pending:,} changes wait to be added")
