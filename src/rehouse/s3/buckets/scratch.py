"""Requests of `doctor --probe` to its scratch bucket: conditions that must fail, and the bucket's removal."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import ClientError

from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.empty import abort_uploads, delete_bucket, delete_versions, uploads, versions


def is_refused_by_condition(request: Callable[[], object]) -> bool:
    """Return whether S3 refuses the request because of its condition (412).

    A success or a 501 returns False. Raises boto3's error for any other refusal.
    """
    try:
        request()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status in {412, 501}:
            return status == 412
        raise
    return False


def remove_scratch(control: Control, bucket: str) -> None:
    """Empty the bucket and delete it. Raises StorageRefused or StorageUnavailable."""
    abort_uploads(control, bucket, uploads(control, bucket))
    delete_versions(control, bucket, versions(control, bucket))
    delete_bucket(control, bucket)
