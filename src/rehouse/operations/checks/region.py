"""The region: that of the shared buckets, and no setting contradicts it."""

from __future__ import annotations

from rehouse.config import Settings
from rehouse.core.errors import RehouseError
from rehouse.operations.checks.check import Check, of_error, ok
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.region import located

REGION = "S3: region"


def check_region(settings: Settings, control: Control) -> tuple[Check, Settings | None]:
    """Return the check, and the settings with the region; None if there is no region to go on with."""
    try:
        found, presences = located(settings, control)
    except RehouseError as error:
        return of_error(REGION, error), None
    is_told = any(each.region for each in presences.values())
    return ok(REGION, f"{found.region}, {'the shared bucket' if is_told else 'the settings'}'s own"), found
