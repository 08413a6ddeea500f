"""Check the role of which the application's storage makes credentials of one tenant."""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.config import Settings
from rehouse.core.naming import MAX_BUCKET_NAME
from rehouse.core.permissions.session_policy import MOST_CHARACTERS, as_text, session_policy
from rehouse.operations.checks.check import Check, notice, ok, try_check
from rehouse.s3.buckets.control import Control
from rehouse.s3.tenant_credentials import HINT, TenantCredentials

ROLE = "S3: role of the tenants"
WORRYING_PERCENT = 80
"""Above this a longer name, or a tag that an administrator adds, may exceed the limit of STS."""
TENANT = "rehouse-doctor"


def check_tenant_role(settings: Settings, control: Control) -> Iterator[Check]:
    """Yield whether the role can be assumed, and the size of its session policy, if a role is set."""
    role = settings.role_arn
    if role is not None:
        yield try_check(ROLE, lambda: _role(settings, control, role), rights_hint=HINT)


def _role(settings: Settings, control: Control, role: str) -> Check:
    bucket = f"{settings.bucket_prefix}-".ljust(MAX_BUCKET_NAME, "x")
    packed = TenantCredentials(control.session, role).packed_percent(TENANT, bucket)
    key = None if settings.encryption == "AES256" else settings.encryption
    characters = len(as_text(session_policy(bucket, region=control.session.region, encryption=key)))
    percent = packed if packed is not None else 100 * characters // MOST_CHARACTERS
    size = f"with the longest bucket name its session policy has {characters:,} of {MOST_CHARACTERS:,} characters"
    if packed is not None:
        size += f", packed {packed} % of the limit"
    if percent > WORRYING_PERCENT:
        return notice(ROLE, f"it can be assumed, but {size}", "choose a shorter bucket_prefix, or a KMS key by its id")
    return ok(ROLE, f"it can be assumed; {size}")
