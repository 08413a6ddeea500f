"""KMS keys as the settings name them, and the policy statements that let a role use them through S3.

A setting names a key by its ARN, its id, or an alias (plain or as an ARN). IAM does not accept an alias as a resource, so the
statement for an alias names every key of the region and account, and the condition kms:ResourceAliases selects those that
have the alias.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rehouse.core.bucket.documents import dns_suffix, partition

KEYS_A_STATEMENT = 20


@dataclass(frozen=True, slots=True)
class KmsKey:
    """A key, or all keys among which an alias selects.

    `arn` names a single key. For an alias, `arn` matches every key, and `alias` selects the right one.
    """

    arn: str
    region: str
    alias: str | None = None


def kms_key(written: str, *, region: str, account: str | None) -> KmsKey:
    """Return the key that a setting names.

    `region` and `account` complete an id or a plain alias.

    >>> kms_key("alias/docs", region="eu-west-1", account="123456789012")
    KmsKey(arn='arn:aws:kms:eu-west-1:123456789012:key/*', region='eu-west-1', alias='alias/docs')
    """
    found = re.fullmatch(r"(arn:[a-z-]+:kms:([a-z0-9-]+):\d*):(.+)", written)
    if found:
        start, key_region, name = found[1], found[2], found[3]
    else:
        number = account if account and account.isdigit() else "*"  # IAM allows no variable here
        start, key_region = f"arn:{partition(region)}:kms:{region}:{number}", region
        name = written if written.startswith("alias/") else f"key/{written}"
    is_alias = name.startswith("alias/")
    return KmsKey(f"{start}:key/*" if is_alias else f"{start}:{name}", key_region, name if is_alias else None)


def via_services(keys: Iterable[KmsKey]) -> list[str]:
    """Return the values of kms:ViaService for requests that S3 makes with these keys."""
    return sorted({f"s3.{key.region}.{dns_suffix(key.region)}" for key in keys})


def key_statements(
    sid: str, actions: Sequence[str], keys: Sequence[KmsKey], *, account: str | None, via_s3: bool
) -> Iterator[dict[str, Any]]:
    """Yield the statements that allow the actions on the keys.

    With `via_s3` they allow them only for requests that S3 makes for the role. `account` is the account of an alias that does not
    name one.
    """
    for name, some in (
        (sid, [key for key in keys if key.alias is None]),
        (f"{sid}Alias", [key for key in keys if key.alias]),
    ):
        for start in range(0, len(some), KEYS_A_STATEMENT):
            part = some[start : start + KEYS_A_STATEMENT]
            statement = {
                "Sid": f"{name}{start or ''}",
                "Effect": "Allow",
                "Action": list(actions),
                "Resource": sorted({key.arn for key in part}),
            }
            condition = _condition(part, account, via_s3=via_s3)
            yield {**statement, "Condition": condition} if condition else statement


def _condition(keys: Sequence[KmsKey], account: str | None, *, via_s3: bool) -> dict[str, Any]:
    equals: dict[str, Any] = {"kms:ViaService": via_services(keys)} if via_s3 else {}
    if account and any(":*:" in key.arn for key in keys):
        equals["aws:ResourceAccount"] = account
    aliases = sorted({key.alias for key in keys if key.alias})
    condition: dict[str, Any] = {"StringEquals": equals} if equals else {}
    return condition | ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": aliases}} if aliases else {})
