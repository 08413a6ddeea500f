"""Wait until S3 has settled the versioning of a new home, before the application uses it.

The ledger records when rehouse enabled it, so a repeated run waits only for the rest of the time.
"""

from __future__ import annotations

from datetime import timedelta

from rehouse.core import settling
from rehouse.core.durations import spell_duration
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Migration
from rehouse.core.progress import Progress
from rehouse.ledger.settling import Versioning
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Run

LOOK_AGAIN_SECONDS = 2.0


def settle_seconds(services: Services) -> int:
    """Return how many seconds a home needs after its versioning was enabled."""
    is_aws = services.control.session.is_aws
    return settling.settle_seconds(services.settings.versioning_settle_seconds, is_aws=is_aws)


def seconds_left(services: Services, migration: Migration) -> float:
    """Return how many seconds the tenant's home still needs; 0 if its versioning was enabled before rehouse."""
    settle = settle_seconds(services)
    if settle == 0:
        return 0.0
    return settling.seconds_left(settle, services.ledger.of(migration, Versioning).versioned_for())


def await_settled(run: Run) -> None:
    """Wait until the tenant's home has settled, and show the time left.

    Copies are proven only afterwards, because S3 may not show them before. It does not wait for a home that is in use already or
    that this run will not use. Raises Interrupted if the run is to stop.
    """
    if run.is_live or run.order.until is Phase.VERIFIED:
        return
    services = run.services
    while left := seconds_left(services, run.migration):
        length = spell_duration(timedelta(seconds=-(-left // 1)))
        text = f"waiting {length} for S3 to settle the versioning of {run.migration.home_bucket}"
        services.report(Progress(run.slug, "settle", text=text))
        services.control.sleep(min(left, LOOK_AGAIN_SECONDS))
        services.keep_locks()
