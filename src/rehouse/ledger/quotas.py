"""What a tenant's rows and grants count against the limits of its plan (core.quotas), and the lock under which that is decided."""

from __future__ import annotations

from dataclasses import dataclass

from rehouse.core.errors import QuotaExceeded, Refused
from rehouse.core.quotas import Limits, Room, limit_bytes, limit_documents, quota_problem
from rehouse.ledger.application_rows import ApplicationRows, TenantRow, no_such_tenant, statement
from rehouse.ledger.lock import lock_key
from rehouse.ledger.schema.usage import TRIGGERS

_USAGE = frozenset({"tenant_usage", "rehouse_usage_deltas", "rehouse_usage_faults"})


@dataclass(frozen=True, slots=True)
class Usage:
    """A tenant's limits and what counts against them."""

    limits: Limits
    room: Room


class Quotas:
    """The limits, over the rows of one connection."""

    def __init__(self, rows: ApplicationRows) -> None:
        self._rows = rows

    def usage(self, tenant: TenantRow) -> Usage:
        """Return the tenant's limits, and what its rows and grants count against them."""
        with statement(self._rows.connection):
            return self._read(tenant, None, None, None)

    def require_room(self, tenant: TenantRow, document_id: str | None, size: int, grant_id: str) -> None:
        """Take the lock of the tenant's limits, if it has any, until the transaction ends.

        Raises QuotaExceeded if there is no room for the upload.
        """
        if not any(self._rows.catalog.column("tenants", name) for name in ("max_storage_gb", "max_documents")):
            return
        values = {"tenant_id": tenant.id, "lock_key": lock_key("uploads", tenant.id)}
        found = self._rows.row("lock_limits", values)
        if found is None:
            return
        if found.isolation != "read committed":
            raise Refused(
                f"the transaction is {found.isolation.upper()}: it does not see which uploads were granted meanwhile",
                hint="call it outside your transaction, or in one at READ COMMITTED",
                subject=tenant.slug or str(tenant.id),
            )
        self._rows.run("release_expired", {"tenant_id": tenant.id})
        usage = self._read(tenant, document_id, size, grant_id)
        problem = quota_problem(usage.limits, usage.room)
        if problem:
            name = tenant.slug or str(tenant.id)
            raise QuotaExceeded(
                f"the tenant {name} has no room for {size:,} bytes: {problem}",
                hint="delete documents, wait for open uploads to expire, or raise the limit of its plan",
                subject=name,
            )

    def _read(self, tenant: TenantRow, document_id: str | None, size: int | None, grant_id: str | None) -> Usage:
        catalog = self._rows.catalog
        parts = [part.triggers for part in catalog.documents.partitions]
        is_kept = catalog.own.keys() >= _USAGE and all(
            triggers >= TRIGGERS for triggers in (catalog.documents.triggers, *parts)
        )
        values = {"tenant_id": tenant.id, "document_id": document_id, "size": size, "grant_id": grant_id}
        row = self._rows.row("room_by_usage" if is_kept else "room_by_rows", values)
        if row is None:
            raise no_such_tenant(tenant.id)
        limits = Limits(
            limit_bytes(getattr(row, "max_storage_gb", None)), limit_documents(getattr(row, "max_documents", None))
        )
        names = ("used_bytes", "used_documents", "reserved_bytes", "reserved_documents", "more_bytes", "more_documents")
        return Usage(limits, Room(*(int(getattr(row, name)) for name in names)))
