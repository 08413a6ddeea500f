"""What a removal from a shared bucket leaves behind, depending on the bucket's versioning.

A bucket with suspended versioning is not protected: a DELETE destroys an object's null version, which is the only version of
an object written before versioning was enabled or after it was suspended ("Deleting objects from versioning-suspended buckets").
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from rehouse.core.errors import Refused, RehouseError
from rehouse.core.removals import SUSPENDED
from rehouse.s3.buckets.control import Control

VERSIONED = (
    "{bucket} is versioned: finish only adds delete markers there, so the doubled storage stays, and is paid for, until a "
    "lifecycle rule of that bucket expires its noncurrent versions"
)
UNKNOWN = "rehouse could not read whether {bucket} is versioned: if it is, the doubled storage does not end with finish"

Versioning = Literal["enabled", "suspended", "off", "not readable"]


def versioning_of(control: Control, bucket: str) -> Versioning:
    """Return the versioning of a bucket, read once a run."""
    found = control.once(Control.read_setting, bucket, "versioning")
    if found.state == "unreadable":
        return "not readable"
    status = (found.value or {}).get("Status")
    return "enabled" if status == "Enabled" else "suspended" if status == "Suspended" else "off"


def describe_kept_versions(control: Control, buckets: Iterable[str]) -> tuple[str, ...]:
    """Return a sentence for each bucket whose storage does not end with `finish`, or may not."""
    told = ((bucket, _describe_kept(control, bucket)) for bucket in buckets)
    return tuple(sentence.format(bucket=bucket) for bucket, sentence in told if sentence)


def describe_destroying(control: Control, buckets: Iterable[str]) -> list[str]:
    """Return a sentence for each bucket whose versioning is suspended or could not be read."""
    told = []
    for bucket in buckets:
        versioning = versioning_of(control, bucket)
        if versioning == "suspended":
            told.append(f"the versioning of {bucket} is {SUSPENDED}")
        elif versioning == "not readable":
            told.append(f"the versioning of {bucket} could not be read: a DELETE may destroy an object for good")
    return told


def refuse_destroying(control: Control, buckets: Iterable[str]) -> None:
    """Raise Refused if a removal from one of the buckets may destroy what looks versioned."""
    buckets = tuple(buckets)
    told = describe_destroying(control, buckets)
    if told:
        bucket = next(each for each in buckets if versioning_of(control, each) in {"suspended", "not readable"})
        raise Refused(
            "; ".join(told),
            hint=f"enable it (`aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled`), "
            "or give --final to destroy the sources for good",
            subject=bucket,
        )


def _describe_kept(control: Control, bucket: str) -> str | None:
    try:
        versioning = versioning_of(control, bucket)
    except RehouseError:
        return UNKNOWN
    return VERSIONED if versioning == "enabled" else UNKNOWN if versioning == "not readable" else None
