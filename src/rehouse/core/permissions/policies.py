"""The table of rights as policy documents, one or more per role, within IAM's limits.

There is a statement for each kind of resource, so a document allows exactly what the table says. A document that is too large
for a managed policy continues in a second one. Only the role `log-bucket` may change the bucket for access logs: its default
name is outside the tenants' pattern `{prefix}-*`. If its name matches the pattern, Deny statements exclude it.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from rehouse.core.bucket.documents import bucket_arn
from rehouse.core.kms_keys import KmsKey, key_statements, kms_key
from rehouse.core.naming import log_bucket_name
from rehouse.core.permissions.table import TABLE, Permission, Resource, Role

Policy = dict[str, Any]

ROLES: tuple[Role, ...] = get_args(Role)
PROBE_NAME = "-probe"
"""Puts two hyphens in a row into a scratch bucket's name; no slug does, so no tenant's bucket can have that name."""
MANAGED_POLICY_CHARACTERS = 6144
"""The limit of a managed policy, without white space (the IAM User Guide, "IAM and AWS STS quotas")."""
USER_CHARACTERS = 2048
"""The limit of all inline policies of a user together (the same page)."""
ROLE_CHARACTERS = 10240
"""The limit of all inline policies of a role together (the same page)."""
ATTACHED_POLICIES = 10
"""How many managed policies a user or role may have, unless the quota is raised (the same page)."""

COMPANION: Mapping[Role, Role] = {"provision": "log-bucket"}
"""A role whose document is printed with another's: attach it until the log bucket is made, then detach it."""

_RESOURCES_A_STATEMENT = 20
KEYS = frozenset({Resource.KEY, Resource.KEY_ALIAS, Resource.SOURCE_KEYS})
_READS = ("s3:Get", "s3:List")
_ENDS_OF_LOGS = {Resource.TENANT_BUCKETS: ("NoLogBucket", ""), Resource.TENANT_OBJECTS: ("NoLogObjects", "/*")}
ITS_ACCOUNT = "${aws:PrincipalAccount}"
"""An IAM policy variable: the account of the caller."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that turn the kinds of resource into ARNs.

    `home_buckets` are homes outside the prefix, which rehouse adopted. Rights on S3 are limited to `account`: a number, or
    ITS_ACCOUNT. None: no limit, for servers that do not support conditions on accounts.
    """

    shared_buckets: tuple[str, ...]
    bucket_prefix: str
    log_bucket: str | None = None
    region: str = "us-east-1"
    account: str | None = None
    kms_key: str | None = None
    source_keys: tuple[str, ...] = ()
    home_buckets: tuple[str, ...] = ()
    role_arn: str | None = None

    def arns(self, resource: Resource) -> tuple[str, ...]:
        """Return the ARNs of a kind of resource.

        None if there is no such resource, for example no KMS key.
        """
        tenants = (f"{self.bucket_prefix}-*", *self.home_buckets)
        logs = (self.log_bucket,) if self.log_bucket else self._default_logs()
        probe = f"{self.bucket_prefix}-{PROBE_NAME}-*"
        buckets = {
            Resource.SHARED_BUCKET: self.shared_buckets,
            Resource.SHARED_OBJECTS: tuple(f"{bucket}/*" for bucket in self.shared_buckets),
            Resource.TENANT_BUCKETS: tenants,
            Resource.TENANT_OBJECTS: tuple(f"{bucket}/*" for bucket in tenants),
            Resource.PROBE_BUCKET: (probe,),
            Resource.PROBE_OBJECTS: (f"{probe}/*",),
            Resource.LOG_BUCKET: logs,
        }
        if resource in KEYS:
            return tuple(key.arn for key in self.keys(resource))
        if resource is Resource.ANY:
            return ("*",)
        if resource is Resource.TENANT_ROLE:
            return (self.role_arn,) if self.role_arn else ()
        return tuple(bucket_arn(name, self.region) for name in buckets[resource])

    def keys(self, resource: Resource) -> tuple[KmsKey, ...]:
        """Return the KMS keys of a kind of resource, each once."""
        written = self.source_keys if resource is Resource.SOURCE_KEYS else (self.kms_key,) if self.kms_key else ()
        keys = dict.fromkeys(kms_key(each, region=self.region, account=self.account) for each in written)
        return tuple(key for key in keys if key.alias or resource is not Resource.KEY_ALIAS)

    def covered_logs(self) -> tuple[str, ...]:
        """Return the log bucket names that the tenants' pattern matches, including the default names of version 0.1."""
        old = f"{self.bucket_prefix}-logs"
        owned = f"{old}-{self.account or ITS_ACCOUNT}"  # `*` would match a tenant whose slug begins with logs
        names = (
            (self.log_bucket,) if self.log_bucket else (*self._default_logs(), owned, f"{owned}-{self.region}-an", old)
        )
        covered = (name for name in names if fnmatch.fnmatchcase(name, f"{self.bucket_prefix}-*"))
        return tuple(dict.fromkeys(covered))

    def _default_logs(self) -> tuple[str, ...]:
        account = self.account or "*"
        return tuple(log_bucket_name(self.bucket_prefix, account, end) for end in ("", f"-{account}-{self.region}-an"))

    def conditions(self, resource: Resource) -> Policy:
        """Return the condition of the statements: the bucket must be in our account, not only have the right name."""
        if self.account is None or resource in {Resource.ANY, Resource.TENANT_ROLE}:
            return {}
        return {"Condition": {"StringEquals": {"aws:ResourceAccount": self.account}}}


def permissions_of(roles: Iterable[Role]) -> tuple[Permission, ...]:
    """Return the rows of the table for any of these roles, in the table's order."""
    wanted = frozenset(roles)
    return tuple(row for row in TABLE if wanted & frozenset(row.roles))


def policy_documents(roles: Iterable[Role], scope: Scope) -> dict[str, Policy]:
    """Return policy name → document, one per role.

    A document that is too large for one policy (`rehouse-migrate`) continues in a second (`rehouse-migrate-2`).
    """
    documents: dict[str, Policy] = {}
    for role in dict.fromkeys(each for asked in roles for each in (asked, COMPANION.get(asked, asked))):
        parts = _pack(list(_statements(permissions_of([role]), scope)))
        for number, statements in enumerate(parts, start=1):
            name = f"rehouse-{role}" if number == 1 else f"rehouse-{role}-{number}"
            documents[name] = {"Version": "2012-10-17", "Statement": statements}
    return documents


def size(policy: Policy) -> int:
    """Return the size of a document as IAM counts it, in characters."""
    return len(json.dumps(policy, separators=(",", ":")))


def places(policy: Policy) -> str:
    """Return where a document fits: as a managed policy, and inline in a role or a user.

    >>> places({"Version": "2012-10-17", "Statement": []})
    '39 characters: fits a managed policy (6,144), a role inline (10,240), a user inline (2,048)'
    """
    limits = {
        "a managed policy": MANAGED_POLICY_CHARACTERS,
        "a role inline": ROLE_CHARACTERS,
        "a user inline": USER_CHARACTERS,
    }
    counted = size(policy)
    fitting = [f"{place} ({limit:,})" for place, limit in limits.items() if counted <= limit]
    too_small = [f"{place} ({limit:,})" for place, limit in limits.items() if counted > limit]
    return f"{counted:,} characters: fits {', '.join(fitting)}" + (f"; not {', '.join(too_small)}" if too_small else "")


def _statements(rows: Sequence[Permission], scope: Scope) -> Iterator[Policy]:
    for resource in Resource:
        actions = sorted({action for row in rows if row.resource is resource for action in row.actions})
        sid = "".join(word.capitalize() for word in resource.name.split("_"))
        if resource in KEYS:
            if actions:
                via_s3 = resource is not Resource.KEY_ALIAS  # rehouse itself looks up the key of an alias
                yield from key_statements(sid, actions, scope.keys(resource), account=scope.account, via_s3=via_s3)
            continue
        arns = scope.arns(resource)
        for start in range(0, len(arns) if actions else 0, _RESOURCES_A_STATEMENT):
            part = arns[start : start + _RESOURCES_A_STATEMENT]
            sid = "".join(word.capitalize() for word in resource.name.split("_")) + (str(start) if start else "")
            condition = scope.conditions(resource)
            yield {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(part), **condition}
        denied = [action for action in actions if not action.startswith(_READS)]
        if resource in _ENDS_OF_LOGS and denied and (covered := scope.covered_logs()):
            sid, end = _ENDS_OF_LOGS[resource]
            logs = [bucket_arn(f"{name}{end}", scope.region) for name in covered]
            yield {"Sid": sid, "Effect": "Deny", "Action": denied, "Resource": logs}


def _pack(statements: Sequence[Policy]) -> list[list[Policy]]:
    parts: list[list[Policy]] = []
    for statement in statements:
        if parts and size({"Version": "2012-10-17", "Statement": [*parts[-1], statement]}) <= MANAGED_POLICY_CHARACTERS:
            parts[-1].append(statement)
        else:
            parts.append([statement])
    return parts
