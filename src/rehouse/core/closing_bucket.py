"""The policy of a bucket that is to be removed: nobody writes into it any more. Everything else that its policy says stays."""

from __future__ import annotations

from typing import Any

from rehouse.core.bucket_documents import OURS, Document, bucket_arn

CLOSED = f"{OURS}Closed"
"""The Sid of the statement that closes a bucket."""


def closed_policy(policy: Document | None, bucket: str, region: str) -> Document:
    """Return the policy with a statement that denies every upload to everybody; a policy that has it stays as it is.

    >>> closed_policy(None, "home", "us-east-1")["Statement"][0]["Action"]
    's3:PutObject'
    """
    statements = policy.get("Statement", []) if policy else []
    kept = statements if isinstance(statements, list) else [statements]
    closing: dict[str, Any] = {
        "Sid": CLOSED,
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"{bucket_arn(bucket, region)}/*",
    }
    others = [each for each in kept if each.get("Sid") != CLOSED]
    return {"Version": "2012-10-17", **(policy or {}), "Statement": [*others, closing]}


def is_closed(policy: Document | None) -> bool:
    """Return whether a policy, as it was read back, denies every upload."""
    statements = policy.get("Statement", []) if policy else []
    return any(
        each.get("Sid") == CLOSED and each.get("Effect") == "Deny" and "Condition" not in each for each in statements
    )
