"""Find the sources that are old enough for `finish` to remove, before anybody confirms. Changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import Migration, Tenant
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.removals import Removals
from rehouse.operations.buckets.shared_versioning import Versioning, refuse_destroying, versioning_of
from rehouse.operations.services import Services


class Due(NamedTuple):
    """Sources of one tenant in one bucket that are old enough to be removed; `size` in bytes."""

    slug: str
    documents: int
    size: int
    bucket: str
    versioning: Versioning


def due_sources(services: Services, tenant: Tenant | None, *, grace: timedelta, final: bool = False) -> list[Due]:
    """Return the sources of the tenant (None: of all tenants) that are old enough to be removed, by tenant and bucket.

    Changes nothing, because nobody has confirmed yet. Raises Refused before the tenant's cutover and, unless `final`, if the shared
    bucket's versioning is suspended.
    """
    with translate_errors():
        if tenant:
            found = [(tenant, require_cut_over(services, tenant))]
        else:
            tenants = services.ledger.tenants()
            found = [(other, each) for other in tenants if (each := services.ledger.migration(other))]
        there = [(owner, each) for owner, each in found if is_at_least(each.phase, Phase.CUT_OVER)]
        sources = [
            (owner.slug, it) for owner, each in there for it in services.ledger.of(each, Removals).due_sources(grace)
        ]
    shared = services.settings.remaining_buckets
    if sources and not final:
        refuse_destroying(services.control, shared)
    return [
        Due(slug, each.sources, each.size, each.bucket, versioning_of(services.control, each.bucket))
        for slug, each in sources
        if each.bucket in shared
    ]


def require_cut_over(services: Services, tenant: Tenant) -> Migration:
    """Return the migration of a tenant that was cut over. Raises Refused for any other."""
    migration = services.ledger.migration(tenant)
    if migration is None or not is_at_least(migration.phase, Phase.CUT_OVER):
        stands = f"is {migration.phase}" if migration else "was not begun"
        raise Refused(
            f"{tenant.slug} {stands}: its documents are not in a bucket of its own",
            hint=f"run `rehouse migrate {tenant.slug}` first; its sources can go {services.settings.grace_days:g} days after that",
            subject=tenant.slug,
        )
    return migration
