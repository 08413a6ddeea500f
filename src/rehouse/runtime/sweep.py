"""Remove what nothing points to: uploads that were never confirmed, and objects whose deletion is recorded.

Objects go before their records, so that a sweep that is killed leaves nothing unknown. Before an object at a document's key is
deleted, the rows of all tenants are asked whether one points there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.core.model import ObjectRef, TenantId
from rehouse.ledger.deletions import Deletion
from rehouse.ledger.uploads import Grant
from rehouse.runtime.connections import Connections
from rehouse.runtime.scope import Ledger
from rehouse.runtime.values import Swept
from rehouse.s3.faults import NO_SUCH_BUCKET

if TYPE_CHECKING:
    from rehouse.runtime.storage import TenantStorage

log = logging.getLogger(__name__)

Each = TypeVar("Each", Grant, Deletion)

AT_ONCE = 500
MOST_COUNTED = 100_000
"""How much of each a dry run counts."""


class Sweep:
    """One sweep, over the grants and deletions of all tenants."""

    def __init__(self, storage: TenantStorage, connections: Connections) -> None:
        self._storage, self._connections = storage, connections
        self._objects = 0
        self._failed: list[str] = []

    def look(self) -> Swept:
        """Count what a sweep would remove; what that changes is undone."""
        with self._connections.lend(None) as connection, connection.transaction(force_rollback=True):
            ledger = self._storage.ledger(connection)
            grants = ledger.uploads.grants_to_sweep(limit=MOST_COUNTED)
            deletions = ledger.deletions.pending(seconds=self._old, limit=MOST_COUNTED)
        return Swept(len(grants), len(deletions))

    def run(self) -> Swept:
        """Sweep in batches. What fails is left for the next sweep."""
        grants = 0
        while batch := self._grants():
            well = sum(self._is_swept(self._sweep_grant, each) for each in batch)
            grants += well
            if well == 0 or len(batch) < AT_ONCE:
                break
        last = 0
        while deletions := self._deletions(last):
            for each in deletions:
                self._is_swept(self._sweep_deletion, each)
            last = deletions[-1].id
        with self._ledger() as ledger:
            ledger.uploads.forget_confirmed()
        return Swept(grants, self._objects, tuple(self._failed))

    @property
    def _old(self) -> int:
        """For how many seconds somebody may have a URL of a former object."""
        return self._storage.settings.download_url_seconds

    def _grants(self) -> Sequence[Grant]:
        with self._ledger() as ledger:
            return ledger.uploads.grants_to_sweep(limit=AT_ONCE)

    def _deletions(self, after: int) -> Sequence[Deletion]:
        with self._ledger() as ledger:
            return ledger.deletions.pending(seconds=self._old, after=after, limit=AT_ONCE)

    def _is_swept(self, sweep: Callable[[Each], None], each: Each) -> bool:
        try:
            sweep(each)
        except RehouseError as error:
            log.warning("the sweep leaves something of the document %s: %s", each.document_id, error.message)
            self._failed.append(f"{each.document_id}: {error.message}")
            return False
        return True

    def _sweep_grant(self, grant: Grant) -> None:
        if grant.part_bytes is not None:
            self._abort_uploads(grant)
        self._delete(grant.tenant_id, grant.staged)
        if grant.final is not None and self._may_delete(grant.tenant_id, grant.document_id, grant.final):
            self._delete(grant.tenant_id, grant.final)
        with self._ledger() as ledger:
            ledger.uploads.forget_grant(grant)

    def _abort_uploads(self, grant: Grant) -> None:
        """Abort an upload in parts. A crash may have come before its id was recorded: then S3 is asked for it."""
        for ref in (grant.staged, grant.final):
            if ref is not None:
                objects = self._storage.sweeping_client(grant.tenant_id, ref.bucket)
                with _gone_is_fine():
                    for upload_id in [grant.upload_id] if grant.upload_id else objects.open_uploads(ref):
                        objects.abort_multipart(ref, upload_id)

    def _sweep_deletion(self, deletion: Deletion) -> None:
        """Delete an object, unless it is in use again. One to which a migration will point the row waits for a later sweep."""
        if self._may_delete(deletion.tenant_id, deletion.document_id, deletion.ref):
            self._delete(deletion.tenant_id, deletion.ref, deletion.etag)
        elif not self._is_in_use(deletion):
            return
        with self._ledger() as ledger:
            ledger.deletions.forget(deletion)

    def _may_delete(self, tenant_id: TenantId, document_id: str, ref: ObjectRef) -> bool:
        with self._ledger() as ledger:
            return ledger.deletions.may_delete(tenant_id, document_id, ref)

    def _is_in_use(self, deletion: Deletion) -> bool:
        if not deletion.document_id:
            return True  # a file has no copies: it is a row that points there
        with self._ledger() as ledger:
            row = ledger.rows.read_document(deletion.tenant_id, deletion.document_id)
        return row is not None and row.key == deletion.ref.key

    def _delete(self, tenant_id: TenantId, ref: ObjectRef, etag: str | None = None) -> None:
        """Delete an object if it is there, and still the one with this ETag, if one is known.

        To delete a missing one would leave a delete marker in a versioned bucket.
        """
        with _gone_is_fine():
            objects = self._storage.sweeping_client(tenant_id, ref.bucket)
            found = objects.head(ref)
            if found is not None and etag in (None, found.etag):
                objects.delete(ref)
                self._objects += 1

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        with self._connections.lend(None) as connection:
            yield self._storage.ledger(connection)


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    """Let a bucket be gone, with all that was in it: `rollback --drop-bucket` removes one."""
    try:
        yield
    except StorageRefused as error:
        if error.code != NO_SUCH_BUCKET:
            raise
