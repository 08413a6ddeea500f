"""The policy that closes a bucket before its removal: it denies every upload and keeps the other statements."""

from __future__ import annotations

from collections.abc import Mapping

from rehouse.core.bucket.documents import OURS, Document, bucket_arn
from rehouse.core.bucket.normal_form import normalise, statements

CLOSED = f"{OURS}Closed"
"""The Sid of the statement that closes a bucket."""


def closed_policy(policy: Document | None, bucket: str, region: str) -> Document:
    """Return the policy with a statement that denies every upload to everybody.

    A statement of ours that is there already is replaced, never doubled.

    >>> closed_policy(None, "home", "us-east-1")["Statement"][0]["Action"]
    's3:PutObject'
    """
    there = policy if isinstance(policy, Mapping) else {}
    others = [each for each in statements(there) if each.get("Sid") != CLOSED]
    return {"Version": "2012-10-17", **there, "Statement": [*others, _closing(bucket, region)]}


def is_closed(policy: Document | None, bucket: str, region: str) -> bool:
    """Return whether a policy read back from S3 has our complete statement that denies every upload."""
    expected = normalise("policy", {"Statement": _closing(bucket, region)})
    return bool(normalise("policy", policy)["Statement"].get(CLOSED) == expected["Statement"][CLOSED])


def _closing(bucket: str, region: str) -> Document:
    return {
        "Sid": CLOSED,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"{bucket_arn(bucket, region)}/*",
    }
