"""The region of a run: that of the shared buckets, read before rehouse creates anything.

A bucket in the wrong region cannot be moved, so rehouse refuses a region setting that differs from the shared buckets.
"""

from __future__ import annotations

from collections.abc import Mapping

from rehouse.config import Settings, variables
from rehouse.core.errors import ConfigurationError, StorageRefused
from rehouse.s3.buckets.control import BucketPresence, Control
from rehouse.s3.faults import show_on_one_line


def locate_buckets(settings: Settings, control: Control, presences: Mapping[str, BucketPresence]) -> Settings:
    """Return the settings with the region of these buckets: the shared ones, or homes if none of those is left.

    Raises ConfigurationError if the setting names another region, or if the shared buckets are in several regions.
    """
    region = _common_region(presences)
    if region and settings.region and settings.region != region:
        raise _contradiction_error(settings, next(bucket for bucket, each in presences.items() if each.region), region)
    return settings.model_copy(update={"region": region or control.session.region})


def region_mismatch(bucket: str, found: str, wanted: str) -> StorageRefused:
    """Return the error for a tenant's bucket or log bucket that is not in the region of the shared bucket."""
    found = show_on_one_line(found)
    return StorageRefused(
        f"the bucket {bucket} is in {found}, the shared bucket in {wanted}; an earlier run may have made it there",
        hint=way_out(bucket, found, wanted),
        code="PermanentRedirect",
        subject=bucket,
    )


def way_out(bucket: str, found: str, wanted: str) -> str:
    """Return the hint for a tenant's bucket or log bucket in another region."""
    return (
        f"if it is empty, delete it (`aws s3api delete-bucket --bucket {bucket} --region {found}`) and run the command again: "
        f"rehouse creates it in {wanted}. If it is in use, name another bucket in tenants.aws_bucket_name or REHOUSE_LOG_BUCKET"
    )


def _common_region(presences: Mapping[str, BucketPresence]) -> str | None:
    regions = {bucket: each.region for bucket, each in presences.items() if each.region}
    if len(set(regions.values())) > 1:
        told = ", ".join(f"{bucket} in {show_on_one_line(region)}" for bucket, region in regions.items())
        raise ConfigurationError(
            f"the shared buckets are in several regions: {told}",
            hint="set REHOUSE_SHARED_BUCKET to the buckets of one region, and run rehouse once for each region",
            subject="shared_bucket",
        )
    return next(iter(regions.values()), None)


def _contradiction_error(settings: Settings, bucket: str, region: str) -> ConfigurationError:
    names, region = variables("region"), show_on_one_line(region)
    origin = settings.origins.get("region", names[0])
    told, hint = f"region in {origin}", f'set region = "{region}" in {origin}, or remove it'
    if origin in names:
        told, hint = origin, f"set {origin}={region}, or unset it"
    message = f"{told} is {settings.region}, but the shared bucket {bucket} is in {region}"
    return ConfigurationError(message, hint=hint, subject="region")
