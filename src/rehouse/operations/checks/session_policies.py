"""Certify that the server enforces session policies: without that, credentials of a tenant are credentials of the whole role."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.isolation import Attack, Verdict, judge
from rehouse.core.isolation_evidence import Certification
from rehouse.core.model import Tenant
from rehouse.s3.attacks import Answer, Attacker, Attacks
from rehouse.s3.tenant_credentials import TenantCredentials

TRIED = 5
"""With how many tenants at most: what is wrong with one bucket says nothing about the server."""


def certify(attacks: Attacks, credentials: TenantCredentials, homes: Iterable[tuple[Tenant, str]]) -> Certification:
    """Return whether the server enforces session policies: tried with a few tenants until one shows it."""
    found = Certification(reason="no tenant has a bucket of its own yet")
    for (tenant, bucket), _ in zip(homes, range(TRIED), strict=False):
        try:
            found = _try(attacks, credentials, tenant, bucket)
        except (StorageRefused, StorageUnavailable) as error:
            found = Certification(
                bucket, reason=f"there are no credentials of one tenant: {error.message}; {error.hint}"
            )
        if found.is_certified:
            return found
    return found


def _try(attacks: Attacks, credentials: TenantCredentials, tenant: Tenant, bucket: str) -> Certification:
    """Send both requests about one tenant's bucket."""
    allowed = attacks.look(Attacker(bucket, credentials.of(tenant, bucket)))
    elsewhere = credentials.of(tenant, f"rehouse-isolation-{secrets.token_hex(8)}")
    refused = attacks.look(Attacker(bucket, elsewhere))
    return Certification(bucket, str(allowed), str(refused), _reason(allowed, refused))


def _reason(allowed: Answer, refused: Answer) -> str | None:
    """Return why the server is not certified by these answers, None if it is."""
    if allowed.code is not None:
        return f"the role cannot list a tenant's own bucket: {allowed}: {allowed.message}"
    verdict = judge(Attack.LIST, refused.status, refused.code)
    if verdict is Verdict.LEAKED:
        return (
            "the server does not enforce session policies: it allowed a request that the session policy does not allow"
        )
    if verdict is Verdict.NOT_KNOWN:
        return f"whether the server enforces session policies is not known: it answered {refused}: {refused.message}"
    return None
