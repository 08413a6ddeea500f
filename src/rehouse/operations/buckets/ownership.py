"""Whose is each bucket: the tenants' homes as their rows and the ledger have them, and the buckets of ours that nobody has.

A bucket that is reserved for a tenant is the tenant's, migrated or not, rolled back or not. Nothing is changed here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rehouse.config import Settings
from rehouse.core.errors import Halt
from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.operations.buckets.home_spec import log_bucket_name
from rehouse.operations.buckets.homes import home_of
from rehouse.operations.services import Services
from rehouse.s3.buckets.control import Control


@dataclass(frozen=True, slots=True)
class Holding:
    """A tenant and its bucket; `is_made`: the bucket has to be there. `names` are all that belong to the tenant.

    `contradiction` is how the tenant's row and the ledger disagree, None if they do not; `others` have the same bucket.
    """

    tenant: Tenant
    bucket: str | None
    is_made: bool
    is_rolled_back: bool
    names: frozenset[str]
    contradiction: Halt | None = None
    others: tuple[str, ...] = ()


def holdings(services: Services, tenants: Sequence[Tenant]) -> list[Holding]:
    """Return what each of the tenants has."""
    settings = services.settings
    everybody = [_holding(settings, each, services.ledger.migration(each)) for each in services.ledger.tenants()]
    owners = {
        name: [each.tenant.slug for each in everybody if each.bucket == name]
        for name, count in Counter(each.bucket for each in everybody if each.bucket).items()
        if count > 1
    }
    wanted = {each.id for each in tenants}
    return [_with_others(each, owners) for each in everybody if each.tenant.id in wanted]


def unowned(services: Services, held: Sequence[Holding]) -> list[str]:
    """Return the buckets with our prefix that no tenant has, in order of name; `held` is what all tenants have.

    Raises boto3's errors where the buckets cannot be listed.
    """
    settings, control = services.settings, services.control
    kept = {name for each in held for name in each.names}
    kept |= {*settings.require_shared_buckets(), log_bucket_name(settings, control)}
    return sorted(name for name in _with_our_prefix(control, settings) if name not in kept)


def _holding(settings: Settings, tenant: Tenant, migration: Migration | None) -> Holding:
    known = {tenant.home, migration.home_bucket, migration.previous_home} if migration else {tenant.home}
    names = frozenset(name for name in known if name) - {*settings.require_shared_buckets()}
    is_rolled_back = migration is not None and migration.phase is Phase.ROLLED_BACK
    try:
        bucket = home_of(tenant, settings, migration)
    except Halt as contradiction:
        return Holding(tenant, None, False, is_rolled_back, names, contradiction)
    is_made = bucket is not None and (
        tenant.home == bucket or (migration is not None and is_at_least(migration.phase, Phase.PROVISIONED))
    )
    return Holding(tenant, bucket, is_made, is_rolled_back, names)


def _with_others(holding: Holding, owners: dict[str, list[str]]) -> Holding:
    others = tuple(slug for slug in owners.get(holding.bucket or "", ()) if slug != holding.tenant.slug)
    return replace(holding, others=others)


def _with_our_prefix(control: Control, settings: Settings) -> list[str]:
    return list(control.buckets(f"{settings.bucket_prefix}-"))
