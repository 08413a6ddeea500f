"""The rights on S3, row by row of the table of permissions, by IAM's own simulation: no request with a side effect is sent.

A simulation knows the identity's policies, not an organisation's or a bucket's: only `--probe` proves a right by using it.
Where even simulating is not allowed, each row says "could not check".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.config import Settings
from rehouse.core.kms_keys import via_services
from rehouse.core.permissions.policies import KEYS, PROBE_NAME, Scope, permissions_of
from rehouse.core.permissions.table import Permission, Resource, Role
from rehouse.operations.buckets.home_spec import log_bucket_name
from rehouse.operations.checks.check import Check, could_not_check, failed, ok
from rehouse.s3.buckets.control import Control

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef


class _RoleUnknownError(Exception):
    """The caller's role cannot be named as a simulation needs it."""


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
"""What `--probe` proves by using it, so that nothing need be simulated."""


def check_rights(settings: Settings, control: Control, *, probe: bool) -> Iterator[Check]:
    """Yield a check for each row of the table that a migration needs; rows that the probe will prove are left to it."""
    rows = [row for row in permissions_of(NEEDED) if not (probe and row.resource in PROBED)]
    scope = scope_of(settings, control)
    yield from simulated(control, rows, scope, control.identity().arn, "rights")


def simulated(
    control: Control, rows: Iterable[Permission], scope: Scope, arn: str | None, subject: str
) -> Iterator[Check]:
    """Yield a check for each row as IAM simulates it for the principal `arn`."""
    for row in rows:
        title = f"{subject}: {row.resource}: {row.why}"
        actions = [action for action in row.actions if action not in OPTIONAL]
        if not actions or not scope.arns(row.resource):
            continue
        try:
            denied = _denied(control, actions, row.resource, scope, arn)
        except _RoleUnknownError as error:
            yield could_not_check(
                title,
                str(error),
                "allow iam:GetRole on the role, or run `rehouse doctor --probe`, which tries the rights",
            )
            continue
        except (ClientError, BotoCoreError) as error:
            hint = "`rehouse doctor --probe` tries them in a scratch bucket; iam:SimulatePrincipalPolicy would tell as well"
            yield could_not_check(title, f"no simulation ({_why(error)})", hint)
            continue
        if denied is None:
            yield could_not_check(
                title, "IAM cannot simulate this identity", "`rehouse doctor --probe` tries the rights"
            )
        elif denied:
            yield failed(
                title, f"not allowed: {', '.join(denied)}", "`rehouse iam-policy` prints the policies to attach"
            )
        else:
            yield ok(title, f"allowed, by IAM's simulation: {', '.join(actions)}")


def scope_of(settings: Settings, control: Control) -> Scope:
    """Return the scope of the policies for these settings and this account."""
    return Scope(
        shared_buckets=settings.require_shared_buckets(),
        bucket_prefix=settings.bucket_prefix,
        log_bucket=log_bucket_name(settings, control),
        region=settings.region,
        account=control.identity().account,
        kms_key=None if settings.encryption == "AES256" else settings.encryption,
        source_keys=settings.source_kms_keys,
    )


def _denied(
    control: Control, actions: Sequence[str], kind: Resource, scope: Scope, arn: str | None
) -> list[str] | None:
    principal = _principal(arn)
    if principal is None or not control.session.offers("iam"):
        return None
    results = []
    client = control.once("the IAM client", lambda: control.session.client("iam"))
    if name := _sso_role(principal):
        principal = control.once(f"the role {name}", lambda: _real_arn(client, name))
    for resource in [_example(each) for each in scope.arns(kind)]:
        answer = client.simulate_principal_policy(
            PolicySourceArn=principal,
            ActionNames=list(actions),
            ResourceArns=[resource],
            ContextEntries=_context(scope, kind),
        )
        results += answer["EvaluationResults"]
    return sorted({each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed"})


def _context(scope: Scope, kind: Resource) -> list[ContextEntryTypeDef]:
    """What a simulation is not told by itself, and our policies ask for."""
    keys = scope.keys(kind) if kind in KEYS else ()
    known: dict[str, list[str]] = {
        "aws:ResourceAccount": [scope.account] if scope.account else [],
        "aws:PrincipalAccount": [scope.account] if scope.account else [],
        "kms:ViaService": via_services(keys)[:1],
        "kms:ResourceAliases": [key.alias for key in keys if key.alias],
    }
    return [
        {
            "ContextKeyName": name,
            "ContextKeyValues": values,
            "ContextKeyType": "stringList" if name == "kms:ResourceAliases" else "string",
        }
        for name, values in known.items()
        if values
    ]


def _principal(arn: str | None) -> str | None:
    """The user or role behind a caller's ARN; None for the root, which has no policies."""
    assumed = re.fullmatch(r"(arn:[\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.*", arn or "")
    if assumed:
        return f"{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"
    return arn if arn and re.search(r":(user|role)/", arn) else None


def _sso_role(principal: str) -> str | None:
    """The name of a role that IAM Identity Center made: it has a path, which the caller's ARN does not tell."""
    found = re.fullmatch(r".*:role/(AWSReservedSSO_[^/]+)", principal)
    return found[1] if found else None


def _real_arn(client: IAMClient, name: str) -> str:
    """Return the role's ARN with its path, `…:role/aws-reserved/sso.amazonaws.com/…`; raise _RoleUnknownError without the right."""
    try:
        return client.get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        raise _RoleUnknownError(
            f"the real ARN of the SSO role {name} may not be read: iam:GetRole ({_why(error)})"
        ) from None


def _example(arn: str) -> str:
    """A resource that the pattern stands for: a simulation takes names, not patterns."""
    return (
        arn
        if arn == "*"
        else arn.replace(f"-{PROBE_NAME}-*", f"-{PROBE_NAME}-0").replace("-*", "-example").replace("*", "1")
    )


def _why(error: ClientError | BotoCoreError) -> str:
    return str(error.response.get("Error", {}).get("Code")) if isinstance(error, ClientError) else type(error).__name__
