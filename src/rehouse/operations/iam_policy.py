"""The minimal IAM policies, by role, for these settings, from the table of rights that doctor also uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rehouse.config import Settings
from rehouse.core.permissions.policies import ATTACHED_POLICIES, ITS_ACCOUNT, Policy, Scope, places, policy_documents
from rehouse.core.permissions.table import Role
from rehouse.operations.shared_buckets import require_places
from rehouse.s3.session import Session


def documents(settings: Settings, roles: Iterable[Role], account: str | None = None) -> dict[str, Policy]:
    """Return policy name → document for the roles, for the AWS account `account`. No request is sent.

    Without `account` the policies use IAM's variable, or no condition on a server other than AWS, which may lack the variable.
    Raises ConfigurationError if no shared bucket is set, unless the ledger records that it was removed.
    """
    settings = require_places(settings) if settings.database_url else settings
    settings.require_shared_buckets()
    session = Session(settings)
    scope = Scope(
        shared_buckets=settings.remaining_buckets,
        bucket_prefix=settings.bucket_prefix,
        log_bucket=settings.log_bucket,
        region=session.region,
        account=account or (ITS_ACCOUNT if session.is_aws else None),
        kms_key=None if settings.encryption == "AES256" else settings.encryption,
        source_keys=settings.source_kms_keys,
        role_arn=settings.role_arn,
    )
    return policy_documents(roles, scope)


def sizes(made: Mapping[str, Policy]) -> list[str]:
    """Return a sentence for each document: how large it is and where in IAM it fits."""
    told = [f"{name}: {places(document)}" for name, document in made.items()]
    if len(made) > ATTACHED_POLICIES:
        told.append(f"{len(made)} policies: a user or role has {ATTACHED_POLICIES} at most, unless its quota is raised")
    return told


def warnings(settings: Settings) -> list[str]:
    """Return a sentence for each shared bucket and log bucket whose name the tenants' pattern covers."""
    pattern = f"{settings.bucket_prefix}-"
    covered = [name for name in settings.shared_bucket if name.startswith(pattern)]
    logs = settings.log_bucket
    inside = [logs] if logs and logs.startswith(pattern) else []
    untouchable = (
        "no role may make or change it: make it yourself, or set REHOUSE_LOG_BUCKET to a name outside the prefix"
    )
    told = "what is granted on the tenants' buckets is granted on it too: set REHOUSE_BUCKET_PREFIX to another prefix"
    return [
        *(f"the shared bucket {name} begins with the tenants' prefix {pattern}, {told}" for name in covered),
        *(f"the log bucket {name} begins with the tenants' prefix {pattern}, {untouchable}" for name in inside),
    ]
