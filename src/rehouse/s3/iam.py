"""Ask IAM which actions a caller may perform, by policy simulation, without side effects.

A simulation covers the policies of the identity, but not those of an organisation or a bucket.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.kms_keys import via_services
from rehouse.core.permissions.policies import KEYS, PROBE_NAME, Scope
from rehouse.core.permissions.table import Resource
from rehouse.s3.buckets.control import Control

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_iam.type_defs import ContextEntryTypeDef


class RoleUnknown(Exception):
    """The full ARN of the caller's role, which a simulation needs, cannot be read."""


class NotSimulated(Exception):
    """IAM refused or failed the simulation.

    The message is its error code, or the name of the error.
    """


def denied_actions(
    control: Control, actions: Sequence[str], kind: Resource, scope: Scope, arn: str | None
) -> list[str] | None:
    """Return the actions on a kind of resource that IAM denies the caller `arn`.

    None if it cannot be simulated. Raises RoleUnknown if the role of the ARN may not be read, NotSimulated if the simulation is
    refused or fails.
    """
    principal = _principal(arn)
    if principal is None or not control.session.offers("iam"):
        return None
    try:
        return _simulate(control, actions, kind, scope, principal)
    except (ClientError, BotoCoreError) as error:
        raise NotSimulated(_reason(error)) from error


def _simulate(control: Control, actions: Sequence[str], kind: Resource, scope: Scope, principal: str) -> list[str]:
    results = []
    client = control.once(_client)
    if name := _sso_role(principal):
        principal = control.once(_real_arn, name)
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
    """Return the condition keys that our policies use and that a simulation does not fill in itself."""
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
    """Return the ARN of the user or role behind a caller's ARN.

    None for the root, which has no policies.
    """
    assumed = re.fullmatch(r"(arn:[\w-]+):sts::(\d{12}):assumed-role/([^/]+)/.*", arn or "")
    if assumed:
        return f"{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"
    return arn if arn and re.search(r":(user|role)/", arn) else None


def _sso_role(principal: str) -> str | None:
    """Return the name of a role that IAM Identity Center created.

    The caller's ARN lacks the path of such a role.
    """
    found = re.fullmatch(r".*:role/(AWSReservedSSO_[^/]+)", principal)
    return found[1] if found else None


def _client(control: Control) -> IAMClient:
    return control.session.client("iam")


def _real_arn(control: Control, name: str) -> str:
    """Return the role's ARN with its path, `…:role/aws-reserved/sso.amazonaws.com/…`.

    Raises RoleUnknown if reading the role is denied.
    """
    try:
        return control.once(_client).get_role(RoleName=name)["Role"]["Arn"]
    except ClientError as error:
        raise RoleUnknown(f"the ARN of the SSO role {name} may not be read: iam:GetRole ({_reason(error)})") from None


def _example(arn: str) -> str:
    """Return a resource that the pattern matches, because a simulation takes names and no patterns."""
    return (
        arn
        if arn == "*"
        else arn.replace(f"-{PROBE_NAME}-*", f"-{PROBE_NAME}-0").replace("-*", "-example").replace("*", "1")
    )


def _reason(error: ClientError | BotoCoreError) -> str:
    return str(error.response.get("Error", {}).get("Code")) if isinstance(error, ClientError) else type(error).__name__
