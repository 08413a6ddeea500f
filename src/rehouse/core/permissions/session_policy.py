"""The session policy of one tenant: what credentials of the role may do is narrowed to the tenant's bucket.

A session policy grants nothing. A request is allowed only if the role's own policies allow it as well.
Source: "Session policies", the IAM User Guide.
"""

from __future__ import annotations

import json
import re

from rehouse.core.bucket.documents import bucket_arn
from rehouse.core.kms_keys import key_statements, kms_key
from rehouse.core.model import TenantId
from rehouse.core.permissions.policies import Policy, permissions_of
from rehouse.core.permissions.table import Resource

MOST_CHARACTERS = 2048
"""The limit of a session policy, without white space (AssumeRole, the STS API Reference)."""
LONGEST_NAME = 64


def session_policy(bucket: str, *, region: str, encryption: str | None = None) -> Policy:
    """Return the session policy that names exactly this bucket, with the actions of the application.

    `encryption`: the KMS key of the tenants' buckets, None for SSE-S3.
    """
    key = None if encryption is None else kms_key(encryption, region=region, account=None)
    actions = {
        resource: sorted(
            {each for row in permissions_of(["application"]) if row.resource is resource for each in row.actions}
        )
        for resource in (Resource.TENANT_BUCKETS, Resource.TENANT_OBJECTS, Resource.KEY)
    }
    arn = bucket_arn(bucket, region)
    statements: list[Policy] = [
        {"Effect": "Allow", "Action": actions[Resource.TENANT_BUCKETS], "Resource": arn},
        {"Effect": "Allow", "Action": actions[Resource.TENANT_OBJECTS], "Resource": f"{arn}/*"},
    ]
    if key is not None:
        statements += key_statements("Key", actions[Resource.KEY], [key], account=None, via_s3=True)
    return {"Version": "2012-10-17", "Statement": statements}


def as_text(policy: Policy) -> str:
    """Return a policy as STS takes it, without white space."""
    return json.dumps(policy, separators=(",", ":"))


def session_name(tenant_id: TenantId) -> str:
    """Return the name of a tenant's session, which CloudTrail shows for each request.

    >>> session_name(7), session_name("a/b ü")
    ('tenant-7', 'tenant-a-b--')
    """
    return re.sub(r"[^A-Za-z0-9_+=,.@-]", "-", f"tenant-{tenant_id}")[:LONGEST_NAME]


def session_arn(role_arn: str, tenant_id: TenantId) -> str:
    """Return the ARN by which S3 knows a tenant's session; a role's path is not part of it.

    >>> session_arn("arn:aws:iam::123456789012:role/app/tenants", 7)
    'arn:aws:sts::123456789012:assumed-role/tenants/tenant-7'
    """
    start, _, role = role_arn.partition(":role/")
    return f"{start.replace(':iam:', ':sts:')}:assumed-role/{role.rpartition('/')[2]}/{session_name(tenant_id)}"
