"""Find the shared buckets, which are those of the settings without those that `cleanup --drop-bucket` removed, and the region.

If a bucket that the ledger records as removed exists again in our account, it counts as present. A bucket with its name in
another account is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping

from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError
from rehouse.ledger.dropped_buckets import DroppedBuckets, add_dropped, read_dropped, require_places
from rehouse.s3.buckets.control import BucketPresence, Control
from rehouse.s3.buckets.region import locate_buckets

__all__ = ["locate", "require_places", "without_present"]


def locate(settings: Settings, control: Control) -> tuple[Settings, dict[str, BucketPresence]]:
    """Return the settings with the removed shared buckets and the region, and HeadBucket's answer for each remaining bucket.

    The ledger is asked only if a shared bucket is missing. Raises ConfigurationError if the setting names another region, if the
    shared buckets are in several regions, or if none is set and a bucket that was to be removed still exists.
    """
    presences = {bucket: control.head(bucket) for bucket in settings.require_shared_buckets()}
    dropped = DroppedBuckets()
    if any(each.whose != "ours" for each in presences.values()):
        dropped = read_dropped(settings)
        settings = without_present(add_dropped(settings, dropped.buckets), presences)
    elif settings.dropped_buckets:  # none is set, but the last one was not removed
        raise ConfigurationError(
            f"REHOUSE_SHARED_BUCKET is not set, and {', '.join(presences)} was to be removed and still exists",
            hint=f"export REHOUSE_SHARED_BUCKET={','.join(presences)}; `rehouse cleanup` shows what is left",
            subject="shared_bucket",
        )
    left = {bucket: each for bucket, each in presences.items() if bucket not in settings.dropped_buckets}
    anchors = left or {home: control.head(home) for home in dropped.homes}
    return locate_buckets(settings, control, anchors), left


def without_present(settings: Settings, presences: Mapping[str, BucketPresence]) -> Settings:
    """Return the settings without the removed buckets that exist in our account."""
    there = {bucket for bucket, each in presences.items() if each.whose == "ours"}
    dropped = tuple(bucket for bucket in settings.dropped_buckets if bucket not in there)
    return settings.model_copy(update={"dropped_buckets": dropped})
