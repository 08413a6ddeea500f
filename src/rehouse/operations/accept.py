"""Accept documents that cannot be moved: they stay where they are, on purpose, with the reason in the history.

If a document was written on both sides, the version in the home is accepted.
"""

from __future__ import annotations

from collections.abc import Sequence

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Migration, Tenant
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.late_writes import LateWriteRecords
from rehouse.operations.report import ReturnReport, TenantReport, close_return, close_run, is_home_adopted
from rehouse.operations.services import Services


def accept(services: Services, tenant: Tenant, document_ids: Sequence[str], reason: str) -> TenantReport | ReturnReport:
    """Accept all of the documents or none; return the tenant's report afterwards.

    Raises Refused if a document does not exist, has no key or is at home, and if the reason is empty.
    """
    if not reason.strip():
        raise Refused(
            "the reason must not be empty",
            hint='--reason "why these documents may stay where they are"',
            subject="command line",
        )
    with services.locks.hold(tenant.id, tenant.slug), translate_errors():
        before = services.ledger.migration(tenant)
        if before is None:
            raise Refused(
                f"{tenant.slug} was never migrated: there is nothing to accept",
                hint=f"run `rehouse migrate {tenant.slug}` first",
                subject=tenant.slug,
            )
        with services.ledger.connection.transaction():
            migration = services.ledger.begin_run(tenant, before.home_bucket)
            late = services.ledger.of(migration, LateWriteRecords)
            for document_id in document_ids:
                if not late.accept(document_id, reason):
                    services.ledger.accept(migration, document_id, reason)
            return _close(services, migration, tenant)


def _close(services: Services, migration: Migration, tenant: Tenant) -> TenantReport | ReturnReport:
    if migration.phase is not Phase.ROLLED_BACK:
        report = TenantReport(tenant.slug, tenant.id, home_bucket=migration.home_bucket)
        return close_run(services, migration, report)
    back = ReturnReport(tenant.slug, tenant.id, home_bucket=migration.home_bucket)
    is_adopted = is_home_adopted(services.ledger.reread(tenant), migration)
    return close_return(services, migration, back, is_adopted=is_adopted)
