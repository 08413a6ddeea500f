"""The ledger's side of removing sources: which are left, who still points to them, and their states.

Only the records of moved documents (their target is in the home) count here, not those of a rollback.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from rehouse.core.lifecycle import STATES, DocumentState
from rehouse.core.model import Fault, ObjectRef
from rehouse.core.removals import FlippedDocument
from rehouse.ledger.rows import Row, source_of, target_of
from rehouse.ledger.run_scope import RunScope


class Candidate(NamedTuple):
    """A document whose source may still exist: what PostgreSQL knows, its state, and whether its row was deleted.

    `is_marked`: an earlier pass recorded why its source stays.
    """

    flipped: FlippedDocument
    state: DocumentState
    is_row_gone: bool
    is_marked: bool = False


class SharedSources(NamedTuple):
    """The ids of the documents that share a source with other documents of the tenant.

    `waited_for`: those of `ids` whose source must stay for another document that has not moved, or not long ago.
    """

    ids: frozenset[str]
    waited_for: frozenset[str]


class Removal(NamedTuple):
    """The progress of the removal of a tenant's sources.

    `old_enough`: how many of the sources left may be removed by their age; `next_at`: when the next one will be old enough.
    `not_moved`: documents that could not be moved, or were not flipped yet, and were not accepted. `marked`: documents for
    which a pass recorded why the source stays.
    """

    removed: int
    removed_bytes: int
    left: int
    old_enough: int
    next_at: datetime | None
    not_moved: int
    marked: int


class DueSources(NamedTuple):
    """The sources in one bucket that are old enough to be removed: how many, and their bytes."""

    bucket: str
    sources: int
    size: int


class Removals(RunScope):
    """The sources of one tenant's documents, in one run."""

    def counts(self, grace: timedelta) -> Removal:
        """Return the progress of the removal, if a source may be removed `grace` after the flip."""
        [found] = self.rows("count_removals", grace=grace)
        return Removal(**found._asdict())

    def due_sources(self, grace: timedelta) -> list[DueSources]:
        """Return by bucket which sources are old enough to be removed."""
        return [DueSources(row.bucket, row.sources, row.size) for row in self.rows("due_sources", grace=grace)]

    def candidates(self, grace: timedelta, limit: int) -> Iterator[list[Candidate]]:
        """Yield pages of the documents whose sources are not known to be removed, in order of id."""
        return self._pages_in_states(STATES["moved_with_source"], grace, limit)

    def removed_sources(self, limit: int) -> Iterator[list[Candidate]]:
        """Yield pages of the documents whose sources were removed, in order of id."""
        return self._pages_in_states([DocumentState.REMOVED], timedelta(0), limit)

    def candidates_of(self, sources: Collection[ObjectRef], grace: timedelta, limit: int) -> Iterator[list[Candidate]]:
        """Yield pages of the candidates that have one of these sources, or a source of the same key in another bucket."""
        keys = sorted({source.key for source in sources})
        return self._pages_in_states(STATES["moved_with_source"], grace, limit, keys)

    def shared_sources(self, grace: timedelta) -> SharedSources:
        """Return the documents that share a source with other documents of the tenant.

        This reads the whole tenant.
        """
        rows = self.rows_of_whole("documents_sharing_sources", grace=grace)
        ids = {str(row.document_id): row.is_waited_for for row in rows}
        return SharedSources(frozenset(ids), frozenset(each for each, is_waited_for in ids.items() if is_waited_for))

    def mark_removing(self, document_ids: Sequence[str]) -> None:
        """Record that these sources are about to be removed."""
        self._mark("mark_removing", document_ids)

    def mark_removed(self, document_ids: Sequence[str]) -> None:
        """Record that these sources are removed."""
        self._mark("mark_removed", document_ids)

    def keep(self, kept: Iterable[tuple[str, Fault | None]]) -> None:
        """Record that these sources stay, with the fault.

        Without a fault, they have a late write for the next sweep.
        """
        with self.fence() as cursor:
            for document_id, fault in kept:
                values = {"document_id": document_id, "state": DocumentState.FLIPPED.value, **_columns(fault)}
                cursor.execute(self.queries["keep_source"], {**self.values, **values})

    def record_stays(self, stays: Iterable[tuple[str, Fault]]) -> None:
        """Record why these sources stay, or could not be put back."""
        with self.fence() as cursor:
            for document_id, fault in stays:
                cursor.execute(
                    self.queries["record_stay"], {**self.values, "document_id": document_id, **_columns(fault)}
                )

    def clear_stays(self, document_ids: Sequence[str]) -> None:
        """Delete the recorded reasons why these sources stay."""
        self._mark("clear_stays", document_ids)

    def keep_unfinished(self, document_ids: Sequence[str]) -> None:
        """Record that these sources, which a killed run was removing, stay.

        A recorded fault stays too.
        """
        self._mark("keep_unfinished", document_ids)

    def supersede(self, document_ids: Iterable[str]) -> None:
        """Record that the objects at these sources belong to no document: the rows were deleted, the objects written later."""
        with self.fence() as cursor:
            for document_id in document_ids:
                values = {"document_id": document_id, "state": DocumentState.SUPERSEDED.value, **_columns(None)}
                cursor.execute(self.queries["keep_source"], {**self.values, **values})

    def put_back(self, document_id: str, source_etag: str, source_size: int) -> None:
        """Record that a removed source was restored, with its ETag and its size in bytes."""
        values = {"document_id": document_id, "source_etag": source_etag, "source_size": source_size}
        with self.fence() as cursor:
            cursor.execute(self.queries["source_put_back"], {**self.values, **values})

    def _mark(self, name: str, document_ids: Sequence[str]) -> None:
        with self.fence() as cursor:
            cursor.execute(self.queries[name], {**self.values, "document_ids": list(document_ids)})

    def _pages_in_states(
        self, states: Sequence[DocumentState], grace: timedelta, limit: int, source_keys: Sequence[str] | None = None
    ) -> Iterator[list[Candidate]]:
        names = [state.value for state in states]
        for rows in self.pages("page_of_flipped", limit, states=names, grace=grace, source_keys=source_keys):
            yield [_candidate(row) for row in rows]


def _candidate(row: Row) -> Candidate:
    flipped = FlippedDocument(
        document_id=str(row.document_id),
        source=source_of(row),
        source_etag=row.source_etag,
        source_size=int(row.source_size),
        target=target_of(row),
        target_etag=row.target_etag,
        fault=row.fault,
        is_old_enough=row.is_old_enough,
        points_to_target=row.points_to_target,
        row_etag=row.row_etag,
    )
    return Candidate(flipped, DocumentState(row.state), row.is_row_gone, row.is_marked)


def _columns(fault: Fault | None) -> dict[str, object]:
    return {
        "code": fault.code if fault else None,
        "message": fault.message if fault else None,
        "request_id": fault.request_id if fault else None,
    }
