"""A tenant in the overview of all tenants: the counts that the last run recorded, and the state that follows from them."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rehouse.core.lifecycle import Phase, Status, is_at_least
from rehouse.core.model import TenantId
from rehouse.core.tenant_state import Tally, TenantState, count_errors, tenant_state


class Overview(NamedTuple):
    """A line of `rehouse status`: a tenant and how far its migration is.

    Sizes are bytes, times UTC. The counts of documents are those at the end of the last run; `documents_skipped` have no file,
    `documents_at_home` are rows that point to the tenant's bucket. `run_failed`: an error ended that run.
    """

    slug: str
    tenant_id: TenantId
    name: str
    is_active: bool
    phase: str | None
    status: str
    home_bucket: str | None
    documents_migrated: int
    documents_total: int | None
    documents_skipped: int | None
    documents_failed: int | None
    documents_accepted: int | None
    documents_waiting: int | None
    documents_at_home: int | None
    bytes_copied: int | None
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str | None
    run_failed: bool

    @property
    def state(self) -> TenantState:
        """The tenant's state."""
        phase = None if self.phase is None else Phase(self.phase)
        return tenant_state(
            Status(self.status), phase, documents=self.documents_failed or 0, run_failed=self.run_failed
        )

    @property
    def errors(self) -> int:
        """How many errors the tenant has."""
        return count_errors(self.state, self.documents_failed or 0)

    @property
    def tally(self) -> Tally | None:
        """The counts of its documents by state, None before the end of a first run."""
        if self.documents_total is None:
            return None
        at_home = self.documents_migrated if self.documents_at_home is None else self.documents_at_home
        return Tally(
            total=self.documents_total,
            migrated=self.documents_migrated,
            skipped=self.documents_skipped or 0,
            accepted=self.documents_accepted or 0,
            waiting=self.documents_waiting or 0,
            at_home=at_home,
            failed=self.documents_failed or 0,
            is_cut_over=self.phase is not None and is_at_least(Phase(self.phase), Phase.CUT_OVER),
        )
