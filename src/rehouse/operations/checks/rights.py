"""Check the rights on S3 with IAM's simulation, row by row of the table of permissions. No request has a side effect.

A simulation includes the identity's policies, but not those of an organisation or a bucket; only `--probe` tests a right by
using it. If the simulation is not allowed, each row says "could not check".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rehouse.config import Settings
from rehouse.core.permissions.policies import Scope, permissions_of
from rehouse.core.permissions.table import Permission, Resource, Role
from rehouse.operations.buckets.home_spec import log_bucket_name
from rehouse.operations.checks.check import Check, failure, no_answer, ok
from rehouse.s3.buckets.control import Control
from rehouse.s3.iam import NotSimulated, RoleUnknown, denied_actions

NEEDED: tuple[Role, ...] = ("provision", "migrate")
OPTIONAL = frozenset({"servicequotas:GetServiceQuota", "iam:SimulatePrincipalPolicy", "iam:GetRole"})
PROBED = frozenset(
    {
        Resource.TENANT_BUCKETS,
        Resource.TENANT_OBJECTS,
        Resource.PROBE_BUCKET,
        Resource.PROBE_OBJECTS,
        Resource.SHARED_OBJECTS,
    }
)
"""The rights that `--probe` tests by using them, so they are not simulated."""


def check_rights(settings: Settings, control: Control, *, probe: bool) -> Iterator[Check]:
    """Yield a check for each row of the table that a migration needs, except rows that the probe tests."""
    rows = [row for row in permissions_of(NEEDED) if not (probe and row.resource in PROBED)]
    scope = scope_of(settings, control)
    hint = "`rehouse iam-policy` prints the policies to attach"
    yield from simulate_rights(control, rows, scope, control.identity().arn, "rights", hint=hint)


def simulate_rights(
    control: Control, rows: Iterable[Permission], scope: Scope, arn: str | None, subject: str, *, hint: str
) -> Iterator[Check]:
    """Yield a check for each row, simulated by IAM for the principal `arn`; `hint`: how to grant what is missing."""
    for row in rows:
        title = f"{subject}: {row.resource}: {row.why}"
        actions = [action for action in row.actions if action not in OPTIONAL]
        if not actions or not scope.arns(row.resource):
            continue
        try:
            denied = denied_actions(control, actions, row.resource, scope, arn)
        except RoleUnknown as error:
            yield no_answer(
                title,
                str(error),
                "allow iam:GetRole on the role, or run `rehouse doctor --probe` to test the rights",
            )
            continue
        except NotSimulated as error:
            way = "run `rehouse doctor --probe` to test them in a scratch bucket, or grant iam:SimulatePrincipalPolicy"
            yield no_answer(title, f"no simulation ({error})", way)
            continue
        if denied is None:
            yield no_answer(
                title, "IAM cannot simulate this identity", "run `rehouse doctor --probe` to test the rights"
            )
        elif denied:
            yield failure(title, f"not allowed: {', '.join(denied)}", hint)
        else:
            yield ok(title, "allowed, according to IAM's simulation")


def scope_of(settings: Settings, control: Control) -> Scope:
    """Return the scope of the policies for these settings and this account."""
    return Scope(
        shared_buckets=settings.remaining_buckets,
        bucket_prefix=settings.bucket_prefix,
        log_bucket=log_bucket_name(settings, control),
        region=settings.region,
        account=control.identity().account,
        kms_key=None if settings.encryption == "AES256" else settings.encryption,
        source_keys=settings.source_kms_keys,
    )
