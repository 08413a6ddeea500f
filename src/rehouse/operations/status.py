"""Status: the overview of all tenants, one tenant with its history, or every error with a hint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rehouse.core.failure_codes import HINTS, SETTLED_AGAIN
from rehouse.core.lifecycle import DocumentState, Phase, is_at_least
from rehouse.core.model import ObjectRef, Tenant, TenantId
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.late_writes import LateWriteRecords
from rehouse.ledger.ledger import Ledger, PastEvent
from rehouse.ledger.overview import Overview
from rehouse.ledger.returns import Returns
from rehouse.s3 import faults

AGAIN = "run `rehouse migrate SLUG --only-failed`"
RETURN_AGAIN = "run `rehouse rollback SLUG` again"
RETURN_DENIED = "attach `rehouse iam-policy --role rollback`; if a KMS key refuses, allow its use in the key's policy"
OURS = frozenset({*DocumentState, SETTLED_AGAIN})
"""States and codes that the next run resolves: AGAIN, or after a rollback RETURN_AGAIN."""


@dataclass(frozen=True)
class TenantStatus:
    """One tenant: its line of the overview, the documents that could not be moved, and its history."""

    overview: Overview
    outstanding: list[Outstanding]
    history: list[PastEvent]


@dataclass(frozen=True)
class DocumentError:
    """A document that failed, is in quarantine or in conflict: its tenant, its `Outstanding`, and a hint."""

    slug: str
    tenant_id: TenantId
    document_id: str
    source: ObjectRef
    state: DocumentState
    code: str | None
    message: str | None
    request_id: str | None
    attempts: int
    hint: str

    @property
    def why(self) -> str:
        """The code, or the state if there is no code."""
        return self.code or self.state.value


def overview(ledger: Ledger) -> list[Overview]:
    """Return a line for every tenant, in order of slug, ignoring case."""
    return ledger.overview()


def tenant_status(ledger: Ledger, tenant: Tenant) -> TenantStatus:
    """Return the state of one tenant."""
    line = next(each for each in ledger.overview() if each.tenant_id == tenant.id)
    return TenantStatus(line, _list_outstanding(ledger, tenant), ledger.history(tenant))


def errors(ledger: Ledger, tenants: Sequence[Tenant]) -> list[DocumentError]:
    """Return every outstanding document of these tenants with a hint, by tenant, in order of id."""
    return [
        _error(tenant, each, _again(ledger, tenant)) for tenant in tenants for each in _list_outstanding(ledger, tenant)
    ]


def hint_of(code: str | None, slug: str, again: str = AGAIN) -> str:
    """Return what to do about a document with this code."""
    if code is None or code in OURS:
        return again.replace("SLUG", slug)
    if code == faults.ACCESS_DENIED and again == RETURN_AGAIN:
        return RETURN_DENIED
    return (HINTS.get(code) or faults.way_out(code, again)).replace("SLUG", slug)


def _again(ledger: Ledger, tenant: Tenant) -> str:
    migration = ledger.migration(tenant)
    return RETURN_AGAIN if migration and migration.phase is Phase.ROLLED_BACK else AGAIN


def _error(tenant: Tenant, each: Outstanding, again: str) -> DocumentError:
    return DocumentError(tenant.slug, tenant.id, *each, hint=hint_of(each.code, tenant.slug, again))


def _list_outstanding(ledger: Ledger, tenant: Tenant) -> list[Outstanding]:
    migration = ledger.migration(tenant)
    if migration is None:
        return []
    if migration.phase is Phase.ROLLED_BACK:
        return ledger.of(migration, Returns).list_outstanding()
    is_cut_over = is_at_least(migration.phase, Phase.CUT_OVER)
    left = ledger.documents(migration).list_outstanding(is_cut_over=is_cut_over)
    return left + ledger.of(migration, LateWriteRecords).list_outstanding()
