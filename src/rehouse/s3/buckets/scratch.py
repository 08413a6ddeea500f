"""Requests of `doctor --probe` to its scratch bucket: conditions that must fail, and the bucket's removal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.s3.buckets.control import Control


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


def remove_scratch(control: Control, bucket: str) -> str | None:
    """Empty the bucket and delete it.

    Return the name of boto3's error if that failed, else None.
    """
    try:
        _empty(control, bucket)
        control.new_buckets.forget(bucket)
        control.client.delete_bucket(Bucket=bucket, **control.owner())
    except (ClientError, BotoCoreError) as error:
        return type(error).__name__
    return None


def _empty(control: Control, bucket: str) -> None:
    client, owner = control.client, control.owner()
    uploads = client.list_multipart_uploads(Bucket=bucket, **owner).get("Uploads", [])
    for upload in uploads:
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"], **owner)
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, **owner):
        entries = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        for entry in cast("list[dict[str, Any]]", entries):
            client.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"], **owner)
