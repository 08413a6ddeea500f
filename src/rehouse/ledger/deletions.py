"""The objects that the application's storage no longer needs, in `s3_pending_deletions` until S3 has deleted them.

A deletion is recorded in the transaction that takes the last pointer away. Nothing is deleted while a row points there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rehouse.core.model import ObjectRef, TenantId
from rehouse.core.routing import Buckets, require_object
from rehouse.ledger.application_rows import (
    ApplicationRows,
    TenantRow,
    call,
    no_such_document,
    statement,
    transaction,
    unchanged_row,
)
from rehouse.ledger.rows import Row, plain_id


@dataclass(frozen=True, slots=True)
class Deletion:
    """An object that is to be deleted; `etag` as it was when that was decided, if it is known.

    `document_id` is empty for a file that had no row.
    """

    id: int
    tenant_id: TenantId
    document_id: str
    ref: ObjectRef
    etag: str | None


class Deletions:
    """The deletions, over the rows of one connection. `first_shared`: the bucket that rows without one mean."""

    def __init__(self, rows: ApplicationRows, *, first_shared: str | None) -> None:
        self._rows = rows
        self._first_shared = first_shared

    def record(self, tenant_id: TenantId, document_id: str, ref: ObjectRef, etag: str | None) -> Deletion:
        """Record that an object is to be deleted."""
        with transaction(self._rows.connection):
            return self.add(tenant_id, document_id, ref, etag)

    def add(self, tenant_id: TenantId, document_id: str, ref: ObjectRef, etag: str | None) -> Deletion:
        """Record it in the transaction that is under way, which takes the last pointer away."""
        values = {"tenant_id": tenant_id, "document_id": document_id or None, "bucket": ref.bucket, "key": ref.key}
        return _deletion_of(self._rows.row("record_deletion", {**values, "etag": etag and etag.strip('"')}))

    def detach(
        self, tenant: TenantRow, document_id: str, buckets: Buckets, on_commit: Callable[[], object] | None = None
    ) -> Deletion:
        """Take a document's pointer away and record that its object is to be deleted, in one transaction.

        With `on_commit`, the application changes or deletes the row in that transaction instead. Raises NoSuchDocument,
        ForeignPointer, or DatabaseRefused if the column of keys must not be NULL.
        """
        with transaction(self._rows.connection):
            found = self._rows.lock_document(tenant.id, document_id)
            if found is None:
                raise no_such_document(document_id, tenant.id)
            ref = require_object(
                found.bucket,
                found.key,
                buckets,
                document_id=found.document_id,
                tenant=tenant.slug or str(tenant.id),
                key_fault=found.key_fault,
            )
            if on_commit is None:
                self._rows.clear_document(tenant.id, found)
            else:
                call(on_commit)
                after = self._rows.read_document(tenant.id, found.document_id)
                if after is not None and (after.bucket, after.key) == (found.bucket, found.key):
                    raise unchanged_row(found.document_id, "it still points to the object")
            return self.add(tenant.id, found.document_id, ref, found.etag)

    def pending(self, *, seconds: float = 0, after: int = 0, limit: int = 1000) -> list[Deletion]:
        """Return a page of what is to be deleted, of all tenants, in order of id: those after `after`.

        Only what was recorded more than `seconds` ago: somebody may have a URL of a younger one. And nothing that a grant can still
        upload again.
        """
        values = {"seconds": seconds, "after": after, "limit": limit}
        with statement(self._rows.connection):
            return [_deletion_of(row) for row in self._rows.rows("pending_deletions", values)]

    def may_delete(self, tenant_id: TenantId, document_id: str, ref: ObjectRef) -> bool:
        """Return whether no row of any tenant points to an object, and no migration is about to point its document there.

        Raises DatabaseRefused if this role may not ask.
        """
        is_default = ref.bucket == self._first_shared
        return not self._rows.is_pointed_at(tenant_id, document_id, ref, is_default=is_default)

    def forget(self, deletion: Deletion) -> None:
        """Delete the record of a deletion."""
        with transaction(self._rows.connection):
            self._rows.run("forget_deletion", {"id": deletion.id, "tenant_id": deletion.tenant_id})


def _deletion_of(row: Row) -> Deletion:
    document_id = "" if row.document_id is None else str(row.document_id)
    return Deletion(int(row.id), plain_id(row.tenant_id), document_id, ObjectRef(row.bucket, row.key), row.etag)
