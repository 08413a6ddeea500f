"""Facts about the server and the account: the headers of an answer (with the server's clock) and the bucket quota."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.errors import StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

QUOTA_CODE = "L-DC2B2D3D"
"""The code of "General purpose buckets" in Service Quotas."""


def answer_headers(control: Control, bucket: str) -> Mapping[str, str]:
    """Return the headers of S3's answer about a bucket, even if S3 refuses, for example because another account owns it.

    Raises boto3's errors if no answer came.
    """
    try:
        owner = control.owner()
    except StorageRefused:  # STS refuses every request if the clock is wrong, which these headers show
        owner = {}
    try:
        answer = cast("dict[str, Any]", control.client.head_bucket(Bucket=bucket, **owner))
    except ClientError as error:
        answer = cast("dict[str, Any]", error.response)
    headers: Mapping[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers


def bucket_quota(session: Session, region: str) -> int | None:
    """Return how many buckets the account may have, according to Service Quotas in `region`.

    None if unknown.
    """
    try:
        client = session.client("service-quotas", region)
        return int(client.get_service_quota(ServiceCode="s3", QuotaCode=QUOTA_CODE)["Quota"]["Value"])
    except (ClientError, BotoCoreError, KeyError):
        return None
