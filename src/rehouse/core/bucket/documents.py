"""The documents of a tenant bucket's settings, each in the shape that S3's API takes.

Every document is built from plain values. This module reads nothing and sends nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rehouse.core.bucket.normal_form import normalise, statements

Document = Any  # JSON: a setting in the shape of S3's API

METRICS_ID = "EntireBucket"
LOG_TAGS = {"rehouse": "access-logs"}
"""The tag of a bucket that rehouse made for access logs only."""
OURS = "Rehouse"
"""The prefix of the Sid of rehouse's own policy statements."""
CLOSED = f"{OURS}Closed"
"""The Sid of the statement that closes a bucket before its removal: it denies every upload."""
TEMPORARY_PREFIX = "temp/"
"""The prefix for temporary objects in a home. They are not documents, and the lifecycle rules remove them."""

SIGNED_HEADERS = (
    "authorization", "cache-control", "content-disposition", "content-encoding", "content-language", "content-md5",
    "content-type", "if-match", "if-none-match", "range", "x-amz-*",
)  # fmt: skip
EXPOSED_HEADERS = (
    "ETag", "x-amz-version-id", "x-amz-checksum-crc32", "x-amz-checksum-crc32c", "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1", "x-amz-checksum-sha256", "x-amz-checksum-type",
)  # fmt: skip


PARTITIONS = (
    ("cn-", "aws-cn", "amazonaws.com.cn"),
    ("us-gov-", "aws-us-gov", "amazonaws.com"),
    ("us-iso-", "aws-iso", "c2s.ic.gov"),
    ("us-isob-", "aws-iso-b", "sc2s.sgov.gov"),
    ("eu-isoe-", "aws-iso-e", "cloud.adc-e.uk"),
    ("us-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eu-isof-", "aws-iso-f", "csp.hci.ic.gov"),
    ("eusc-", "aws-eusc", "amazonaws.eu"),
)
"""Prefix of the region names, partition, domain (botocore's `partitions.json`). All other regions are in `aws`."""


@dataclass(frozen=True, slots=True)
class LifecycleRules:
    """The periods of the lifecycle rules, in days."""

    noncurrent_days: int = 30
    infrequent_access_days: int = 90
    temporary_days: int = 1
    incomplete_upload_days: int = 7


def public_access_block() -> Document:
    """Return the public access block with all four settings on."""
    return dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


def ownership() -> Document:
    """Return the ownership controls that switch ACLs off."""
    return {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def default_encryption(encryption: str) -> Document:
    """Return the default encryption: SSE-S3 for AES256, else SSE-KMS with that key.

    SSE-KMS uses a bucket key, which reduces the requests to KMS.
    """
    if encryption == "AES256":
        return {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": encryption}
    return {"Rules": [{"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}]}


def tenant_policy(bucket: str, *, region: str, tls: bool, encryption: str, key_arn: str | None = None) -> Document:
    """Return the bucket policy: TLS only, and no other encryption than the bucket's own.

    An upload without encryption headers is allowed: S3 evaluates the policy before it applies the bucket's default, so these
    condition keys are absent. An upload that names aws:kms without a key would use the account's key aws/s3, so it is denied.
    `key_arn` is the ARN of the KMS key, because S3 compares ARNs.
    """
    objects = f"{bucket_arn(bucket, region)}/*"
    header = "s3:x-amz-server-side-encryption"
    ours = "AES256" if encryption == "AES256" else "aws:kms"
    denials = [
        _deny("OtherEncryption", objects, {"StringNotEquals": {header: ours}, "Null": {header: "false"}}),
        _deny("CustomerKeys", objects, {"Null": {f"{header}-customer-algorithm": "false"}}),
    ]
    key = f"{header}-aws-kms-key-id"
    if ours == "aws:kms":
        denials.append(_deny("NoKey", objects, {"StringEquals": {header: ours}, "Null": {key: "true"}}))
    if key_arn:
        denials.append(_deny("OtherKey", objects, {"StringNotEquals": {key: key_arn}, "Null": {key: "false"}}))
    if tls:
        denials.append(_tls_only(bucket, region))
    return {"Version": "2012-10-17", "Statement": denials}


def log_delivery_policy(bucket: str, *, sources: str, account: str | None, region: str, tls: bool) -> Document:
    """Return the policy that lets S3 deliver only the logs of this account's buckets whose names begin with `sources`."""
    conditions: dict[str, Any] = {"ArnLike": {"aws:SourceArn": bucket_arn(f"{sources}*", region)}}
    if account:
        conditions["StringEquals"] = {"aws:SourceAccount": account}
    delivery = {
        "Sid": f"{OURS}LogDelivery",
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"{bucket_arn(bucket, region)}/*",
        "Condition": conditions,
    }
    return {"Version": "2012-10-17", "Statement": [delivery, *([_tls_only(bucket, region)] if tls else [])]}


def closed_policy(policy: Document | None, bucket: str, region: str) -> Document:
    """Return the policy with a statement that denies every upload to everybody.

    A statement of ours that is there already is replaced, never doubled.

    >>> closed_policy(None, "home", "us-east-1")["Statement"][0]["Action"]
    's3:PutObject'
    """
    there = policy if isinstance(policy, Mapping) else {}
    others = [each for each in statements(there) if each.get("Sid") != CLOSED]
    return {"Version": "2012-10-17", **there, "Statement": [*others, _closing_statement(bucket, region)]}


def is_closed(policy: Document | None, bucket: str, region: str) -> bool:
    """Return whether a policy read back from S3 has our complete statement that denies every upload."""
    expected = normalise("policy", {"Statement": _closing_statement(bucket, region)})
    return bool(normalise("policy", policy)["Statement"].get(CLOSED) == expected["Statement"][CLOSED])


def lifecycle_rules(days: LifecycleRules) -> list[Document]:
    """Return the lifecycle rules.

    Temporary objects expire with all their versions, which expiry alone would keep.
    """
    noncurrent = {"NoncurrentVersionExpiration": {"NoncurrentDays": days.noncurrent_days}}
    infrequent = {"Transitions": [{"Days": days.infrequent_access_days, "StorageClass": "STANDARD_IA"}]}
    temporary = {
        "Expiration": {"Days": days.temporary_days},
        "NoncurrentVersionExpiration": {"NoncurrentDays": days.temporary_days},
    }
    incomplete = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days.incomplete_upload_days}}
    return [
        _rule("old-versions", "", noncurrent),
        _rule("infrequent-access", "", infrequent),
        _rule("temporary-files", TEMPORARY_PREFIX, temporary),
        _rule("expired-delete-markers", "", {"Expiration": {"ExpiredObjectDeleteMarker": True}}),
        _rule("incomplete-uploads", "", incomplete),
    ]


def log_lifecycle_rules(days: int) -> list[Document]:
    """Return the rule of the log bucket: logs expire after `days` days, with their versions if the bucket is versioned."""
    kept = {"Expiration": {"Days": days}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
    return [_rule("old-logs", "", kept)]


def cors_rule(origins: Iterable[str]) -> Document:
    """Return the rule for direct uploads and downloads by browsers from exactly these origins."""
    return {
        "ID": "browser-uploads",
        "AllowedOrigins": list(origins),
        "AllowedMethods": ["PUT", "POST", "GET", "HEAD"],
        "AllowedHeaders": list(SIGNED_HEADERS),
        "ExposeHeaders": list(EXPOSED_HEADERS),
        "MaxAgeSeconds": 3600,
    }


def access_logging(bucket: str, log_bucket: str) -> Document:
    """Return access logging to `{log bucket}/{bucket}/…`, partitioned by the time of the event."""
    return {
        "TargetBucket": log_bucket,
        "TargetPrefix": f"{bucket}/",
        "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
    }


def tag_value(text: str) -> str:
    """Return the text as a valid value of an S3 tag.

    Allowed are letters, digits, spaces and `+ - = . _ : / @`, at most 256 characters, without `aws:` in front.

    >>> tag_value("Müller & Söhne")
    'Müller - Söhne'
    """
    normalised = unicodedata.normalize("NFC", text)
    kept = "".join(char if char.isalpha() or char.isdecimal() or char in " +-=._:/@" else "-" for char in normalised)
    return re.sub(r"^(?i:aws:)", "aws-", kept)[:256].strip()


def bucket_arn(bucket: str, region: str) -> str:
    """Return the ARN of a bucket.

    The region determines the partition (China and GovCloud have their own).
    """
    return f"arn:{partition(region)}:s3:::{bucket}"


def partition(region: str) -> str:
    """Return the partition of a region, such as aws, aws-cn or aws-us-gov."""
    return next((name for start, name, _ in PARTITIONS if region.startswith(start)), "aws")


def dns_suffix(region: str) -> str:
    """Return the domain of a region's services, such as amazonaws.com or amazonaws.com.cn."""
    return next((suffix for start, _, suffix in PARTITIONS if region.startswith(start)), "amazonaws.com")


def _deny(name: str, resource: str | list[str], condition: Document, action: str = "s3:PutObject") -> Document:
    return {
        "Sid": OURS + name,
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": condition,
    }


def _tls_only(bucket: str, region: str) -> Document:
    arn = bucket_arn(bucket, region)
    return _deny("InsecureTransport", [arn, f"{arn}/*"], {"Bool": {"aws:SecureTransport": "false"}}, action="s3:*")


def _rule(name: str, prefix: str, actions: Mapping[str, Document]) -> Document:
    return {"ID": name, "Status": "Enabled", "Filter": {"Prefix": prefix}, **actions}


def _closing_statement(bucket: str, region: str) -> Document:
    return {
        "Sid": CLOSED,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"{bucket_arn(bucket, region)}/*",
    }
