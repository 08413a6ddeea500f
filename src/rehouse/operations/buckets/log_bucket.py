"""Check whether S3 can deliver access logs into an existing bucket. Reads only.

S3 delivers no logs into a bucket whose default encryption is not SSE-S3 or that has a default retention of Object Lock (the S3
User Guide, "Enabling Amazon S3 server access logging"). The delivery policy and the lifecycle rule are part of the BucketSpec.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rehouse.core.bucket.spec import BucketSpec
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import ACCESS_DENIED, NOT_OFFERED, refused_error, translate_errors

LOG_RIGHTS_HINT = (
    "`rehouse iam-policy --role log-bucket` prints the rights to make and configure it: attach them for one run of "
    "`rehouse audit --fix`, or of the first migration"
)
UNFIT_HINT = "set REHOUSE_LOG_BUCKET to another bucket, or correct this one's configuration"
_NO_LOCK = frozenset({"ObjectLockConfigurationNotFoundError", "InvalidRequest"}) | NOT_OFFERED


class Unfit(NamedTuple):
    """A setting that keeps S3 from delivering logs, and why."""

    setting: str
    reason: str


def unfit_settings(control: Control, spec: BucketSpec) -> tuple[Unfit, ...]:
    """Return what keeps logs from the bucket that its spec does not correct. Raises StorageRefused if it cannot be read."""
    encryption = () if spec.encryption else _other_encryption(control, spec.bucket)
    return (*encryption, *_default_retention(control, spec.bucket))


def _other_encryption(control: Control, bucket: str) -> Iterator[Unfit]:
    found = control.read_setting(bucket, "encryption")
    if found.state == "unreadable":
        raise refused_error(found.code or ACCESS_DENIED, "its encryption may not be read", f"the bucket {bucket}")
    for rule in found.value["Rules"] if found.value else ():
        algorithm = rule.get("ApplyServerSideEncryptionByDefault", {}).get("SSEAlgorithm", "AES256")
        if algorithm != "AES256":
            yield Unfit("encryption", f"its default encryption is {algorithm}: S3 delivers logs under SSE-S3 only")


def _default_retention(control: Control, bucket: str) -> Iterator[Unfit]:
    try:
        with translate_errors(f"the bucket {bucket}, Object Lock"):
            reply = control.client.get_object_lock_configuration(Bucket=bucket, **control.owner())
    except (StorageRefused, StorageUnavailable) as error:
        if error.code in _NO_LOCK:
            return
        raise
    if reply.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention"):
        yield Unfit("object_lock", "it has a default retention of Object Lock: S3 delivers no logs there")
