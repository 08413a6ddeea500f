"""The minimal IAM policies, by role, for these settings; they come from the same table that doctor checks by."""

from __future__ import annotations

from collections.abc import Iterable

from rehouse.config import Settings
from rehouse.core.permission_table import Role
from rehouse.core.permissions import Policy, Scope, policy_documents


def documents(settings: Settings, roles: Iterable[Role], account: str | None = None) -> dict[str, Policy]:
    """Return policy name → document for the roles. No request is sent: without `account` patterns stand in its place.

    Raises ConfigurationError if no shared bucket is set.
    """
    scope = Scope(
        shared_buckets=settings.require_shared_buckets(),
        bucket_prefix=settings.bucket_prefix,
        log_bucket=settings.log_bucket,
        region=settings.region,
        account=account,
        kms_key=None if settings.encryption == "AES256" else settings.encryption,
    )
    return policy_documents(roles, scope)
