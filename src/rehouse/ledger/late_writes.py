"""The ledger's side of late writes: which documents may have one, their results, and which are outstanding.

Only the records of moved documents (their target is in the home) can have a late write. It is recorded while the row is locked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rehouse.core.copies import CopiedDocument
from rehouse.core.model import CopyOutcome, Fault, ObjectRef
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.rows import columns_of_copy, source_of
from rehouse.ledger.run_scope import RunScope


class RowIsBusy(Exception):
    """Another transaction holds the row's lock."""


class LateWriteRecords(RunScope):
    """The records of one tenant's documents at home, in one run."""

    def count(self) -> int:
        """Return how many documents were moved, so that their sources may get a late write."""
        return int(self.rows("count_moved")[0].moved)

    def sources(self, *, only_failed: bool = False, code: str | None = None) -> dict[str, ObjectRef]:
        """Return document id → source.

        With `only_failed` only of documents with a fault, of one code if given.
        """
        rows = self.rows("sources_of_moved", only_failed=only_failed, code=code)
        return {str(row.document_id): source_of(row) for row in rows}

    def suspects(self) -> list[CopiedDocument]:
        """Return the documents whose source changed according to the run's inventory, and those with a fault, by id."""
        return [CopiedDocument(**columns_of_copy(row), contested=row.contested) for row in self.stream("late_suspects")]

    def row(self, document_id: str) -> ObjectRef | None:
        """Return where the document's row points, None if it was deleted.

        Raises Halt if another run owns the migration.
        """
        with self.fence():
            found = self.rows("late_row", document_id=document_id)
        return ObjectRef(*found[0]) if found else None

    @contextmanager
    def lock_row(self, document_id: str) -> Iterator[ObjectRef | None]:
        """Lock the document's row.

        Yield where it points, None if it was deleted. Raises RowIsBusy.
        """
        with self.fence():
            self.connection.execute(self.queries["check_at_once"])
            found = self.rows("lock_late_row", document_id=document_id)
            if not found and self.rows("is_row_there", document_id=document_id):
                raise RowIsBusy
            yield ObjectRef(*found[0]) if found else None

    def record_copy(self, outcome: CopyOutcome) -> Fault | None:
        """Record in the ledger and the row that the late write is home.

        Return the fault if the row refuses. Call it inside `lock_row`.
        """
        return self.change_both("follow_late_copy", "record_late_copy", outcome)

    def fail(self, document_id: str, fault: Fault, late_etag: str | None = None) -> bool:
        """Record why a late write is not home, inside a fenced transaction.

        Return whether that is new.
        """
        values = {**self.values, "document_id": document_id, "late_etag": late_etag}
        values |= {"code": fault.code, "message": fault.message, "request_id": fault.request_id}
        return self.connection.execute(self.queries["record_late_fault"], values).rowcount > 0

    def clear(self, document_id: str) -> None:
        """Record that there is no late write, inside a fenced transaction."""
        self.connection.execute(self.queries["clear_late_fault"], {**self.values, "document_id": document_id})

    def list_outstanding(self) -> list[Outstanding]:
        """Return the documents at home with a fault, in order of id."""
        return [Outstanding.from_row(row) for row in self.rows("outstanding_late_writes")]

    def accept(self, document_id: str, reason: str) -> bool:
        """Accept the object in the home, with the reason in the history.

        Return False if there is no conflict.
        """
        values = {**self.values, "document_id": document_id}
        with self.fence() as cursor:
            if cursor.execute(self.queries["accept_late_write"], values).fetchone() is None:
                return False
            event = {**values, "event": "document_accepted", "reason": f"{document_id}: {reason}"}
            cursor.execute(self.queries["record_event"], event)
        return True
