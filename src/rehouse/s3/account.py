"""What S3 and AWS say of the account and of the server: the clock of an answer, and how many buckets there may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

QUOTA_CODE = "L-DC2B2D3D"
"""Service Quotas' code of "General purpose buckets"."""


def answer_headers(control: Control, bucket: str) -> Mapping[str, str]:
    """Return the headers of S3's answer about a bucket, a refusal included. Raises boto3's errors where no answer came."""
    try:
        answer = cast("dict[str, Any]", control.client.head_bucket(Bucket=bucket))
    except ClientError as error:
        answer = cast("dict[str, Any]", error.response)
    headers: Mapping[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers


def bucket_quota(session: Session, region: str) -> int | None:
    """Return how many buckets the account may have, as Service Quotas in `region` tells; None where it does not."""
    try:
        client = session.client("service-quotas", region)
        return int(client.get_service_quota(ServiceCode="s3", QuotaCode=QUOTA_CODE)["Quota"]["Value"])
    except (ClientError, BotoCoreError, KeyError):
        return None
