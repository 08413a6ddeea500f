"""Cut a tenant over that was verified: switch its home and flip its pointers, a few documents first if a canary is wanted.

The rounds are those of `migrate`; what changed since is copied and verified again first.
"""

from __future__ import annotations

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, is_at_least, was_verified
from rehouse.core.model import Migration, Tenant
from rehouse.operations.migrate import migrate_one
from rehouse.operations.report import TenantReport
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order


def cutover(services: Services, tenant: Tenant, *, canary: int = 0) -> TenantReport:
    """Cut the tenant over; the first `canary` documents are read as the application reads them, before anything else moves.

    Raises Refused unless the tenant was verified, or where the canary cannot be read in the home: nothing was changed then.
    Raises Halt where a canary cannot be read through its row. Else as `migrate` does.
    """
    before = services.ledger.migration(tenant)
    if before is None or not _was_verified(services, tenant, before):
        stands = f"is {before.phase}" if before else "was not begun"
        raise Refused(
            f"{tenant.slug} {stands}: only a tenant that was verified can be cut over",
            hint=f"run `rehouse migrate {tenant.slug} --until verified` first",
        )
    return migrate_one(services, tenant, Order(canary=canary))


def _was_verified(services: Services, tenant: Tenant, before: Migration) -> bool:
    """Whether it is verified, or was until a cutover that did not end began to copy what has changed since."""
    if is_at_least(before.phase, Phase.VERIFIED):
        return True
    return was_verified([each.to_phase for each in services.ledger.history(tenant)])
