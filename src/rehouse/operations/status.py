"""Status: the overview of all tenants, or one tenant with its outstanding documents and its history."""

from __future__ import annotations

from dataclasses import dataclass

from rehouse.core.lifecycle import Phase, is_at_least
from rehouse.core.model import Tenant
from rehouse.ledger.documents import Outstanding
from rehouse.ledger.late_writes import LateLines
from rehouse.ledger.ledger import Ledger, Overview, PastEvent


@dataclass(frozen=True)
class TenantStatus:
    """One tenant: its line of the overview, what could not be moved, and what happened when."""

    overview: Overview
    outstanding: list[Outstanding]
    history: list[PastEvent]


def overview(ledger: Ledger) -> list[Overview]:
    """Return a line for every tenant, in order of name."""
    return ledger.overview()


def tenant_status(ledger: Ledger, tenant: Tenant) -> TenantStatus:
    """Return where one tenant stands."""
    line = next(each for each in ledger.overview() if each.slug == tenant.slug)
    migration = ledger.migration(tenant)
    outstanding: list[Outstanding] = []
    if migration:
        is_cut_over = is_at_least(migration.phase, Phase.CUT_OVER)
        outstanding = ledger.documents(migration).outstanding(is_cut_over=is_cut_over)
        outstanding += ledger.of(migration, LateLines).outstanding()
    return TenantStatus(line, outstanding, ledger.history(tenant))
