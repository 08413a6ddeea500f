"""The ledger's side of a migration: pages of documents to copy, outcomes, flips under row locks, samples, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Self

import psycopg
from psycopg import sql
from psycopg.errors import UniqueViolation

from rehouse.core.archiving import ARCHIVED_CODES, archived_detail
from rehouse.core.comparing import Expected
from rehouse.core.copies import CopiedDocument, Reason, SurveyedDocument
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ObjectRef
from rehouse.core.row_refusals import KEPT, fault_of
from rehouse.ledger.row_refusals import RowsRefused, change_accepting, translate_refusals
from rehouse.ledger.rows import (
    Row,
    columns_of_copy,
    copy_record_of,
    document_of,
    object_of,
    rows_of,
    source_of,
    target_of,
)
from rehouse.ledger.run_scope import RunScope

_OUTCOME_TYPES = ("text",) * 4 + ("int8",) + ("text",) * 7 + ("int4",) + ("text",) * 3
"""The types of `_outcome_columns`, because a batch is written in PostgreSQL's binary format."""


class Counts(NamedTuple):
    """How many rows a tenant has.

    `outside`: rows with a key that are not at home; `accepted`: how many of these were accepted.
    """

    total: int
    without_key: int
    at_home: int
    outside: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Line:
    """What to record for one document: the task, the state, the result of the copy, and the fault if there is one."""

    task: CopyTask
    state: DocumentState
    target_etag: str | None = None
    version: str | None = None
    checksum: str | None = None
    attempts: int = 0
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


def line_of(outcome: CopyOutcome) -> Line:
    """Return the line for an outcome: `copied`, or `planned` with the fault, or `quarantined` if it is archived."""
    fault = outcome.fault
    if fault and fault.code in ARCHIVED_CODES:
        return _archived_line(outcome, fault)
    return Line(
        task=outcome.task,
        state=DocumentState.PLANNED if fault else DocumentState.COPIED,
        target_etag=outcome.etag or outcome.task.replaces_etag,
        version=outcome.version,
        checksum=outcome.checksum,
        attempts=outcome.attempts,
        code=fault.code if fault else None,
        message=fault.message if fault else None,
        request_id=fault.request_id if fault else None,
    )


def _archived_line(outcome: CopyOutcome, fault: Fault) -> Line:
    """Return the line for an object in an archive tier or with an expired restore, which only the copy reveals."""
    source = outcome.task.source
    return Line(
        task=outcome.task,
        state=DocumentState.QUARANTINED,
        target_etag=outcome.task.replaces_etag,
        attempts=outcome.attempts,
        code=Reason.ARCHIVED,
        message=archived_detail(outcome.task.storage_class, source.bucket, source.key),
        request_id=fault.request_id,
    )


class ExpectedDocument(NamedTuple):
    """A document whose object must be in the home: what is recorded of the object, and its source."""

    document_id: str
    expected: Expected
    source: ObjectRef | None


class Outstanding(NamedTuple):
    """A document that was not moved, and why."""

    document_id: str
    source: ObjectRef
    state: DocumentState
    code: str | None
    message: str | None
    request_id: str | None
    attempts: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Create it from a row of one of the `outstanding_…` queries."""
        why = row.error_code, row.error_message, row.request_id
        return cls(str(row.document_id), source_of(row), DocumentState(row.state), *why, row.attempts)


class Documents(RunScope):
    """The documents of one tenant's migration in one run."""

    def pages_outside(self, limit: int) -> Iterator[list[SurveyedDocument]]:
        """Yield pages of at most `limit` documents that have a key and are not at home, in order of id."""
        for rows in self.pages("page_of_documents", limit):
            yield [_surveyed_document(row) for row in rows]

    def counts(self) -> Counts:
        """Count the tenant's rows."""
        [found] = self.rows("count_documents")
        return Counts(**found._asdict())

    def rows_with_key(self) -> int:
        """Return how many rows of all tenants have a key."""
        return int(self.rows("count_rows_with_key")[0].count)

    def count_below(self, prefix: str) -> int:
        """Return how many of the tenant's documents have a key with this prefix in its home."""
        return int(self.rows("count_below", prefix=prefix)[0].count)

    def count_migrated(self) -> tuple[int, int]:
        """Return (documents, bytes) that the migration has moved so far."""
        [found] = self.rows("migrated")
        return int(found.documents), int(found.bytes)

    def record(self, lines: Sequence[Line]) -> None:
        """Merge a batch of outcomes into the ledger, in one transaction."""
        with self.fence() as cursor:
            cursor.execute(self.queries["make_outcomes"])
            with cursor.copy(self.queries["copy_outcomes"]) as copy:
                copy.set_types(_OUTCOME_TYPES)
                for line in lines:
                    copy.write_row(_outcome_columns(line))
            cursor.execute(self.queries["record_outcomes"], self.values)

    def waiting_copies(self) -> Iterator[tuple[str, ExpectedDocument]]:
        """Yield (target key, document) of the copies that are not flipped yet, in order of key."""
        for row in self.stream("waiting_copies"):
            expected = Expected(row.source_etag, row.source_size, row.answered_etag)
            yield str(row.target_key), ExpectedDocument(str(row.document_id), expected, source_of(row))

    def count_copies(self) -> tuple[int, int]:
        """Return how many copies this run can flip, and how many objects of ours the home may hold."""
        [found] = self.rows("count_copies")
        return int(found.waiting), int(found.at_home)

    def drop_copy(self, document_id: str, fault: Fault) -> None:
        """Reset a copy that is wrong or could not be checked, so that it is copied again."""
        self._record_fault("drop_copy", document_id, fault)

    def record_fault(self, document_id: str, fault: Fault) -> None:
        """Record why a copy was not flipped: its source could not be checked, or its row refused the update."""
        self._record_fault("record_copy_fault", document_id, fault)

    def name_null_buckets(self, after: str | None, limit: int) -> str | None:
        """Write the shared bucket's name into the next rows that have a key and no bucket.

        Return the last id. A row that refuses the update stays as it is, and the fault is recorded for its copy.
        """
        try:
            return self._name(after, limit, self._name_all)
        except RowsRefused:
            return self._name(after, limit, self._name_allowed)

    @contextmanager
    def lock_copies(self, after: str | None, limit: int) -> Iterator[list[CopiedDocument]]:
        """Lock the next rows whose copies can be flipped.

        Call `flip` inside the block, which commits at its end.
        """
        with self.fence():
            self._prepare_batch()
            yield [CopiedDocument(**columns_of_copy(row)) for row in self.next_rows("lock_copies", after, limit)]

    def find_claimed_by_others(self, refs: Iterable[ObjectRef]) -> set[ObjectRef]:
        """Return those of the objects that another tenant claims now.

        Objects in the tenant's own home never count.
        """
        keys: dict[str, list[str]] = {}
        for ref in refs:
            if ref.bucket != self.values["home_bucket"]:
                keys.setdefault(ref.bucket, []).append(ref.key)
        return {
            ObjectRef(bucket, str(row.key))
            for bucket, wanted in keys.items()
            for row in self.rows("claimed_by_others", bucket=bucket, keys=wanted)
        }

    def flip(self, document_ids: Sequence[str]) -> int:
        """Point locked rows to their copies and record it in the ledger.

        Raises RowsRefused if a row refuses. It returns the number of refused rows, as `flip_allowed` does: always 0.
        """
        values = {**self.values, "document_ids": list(document_ids)}
        with translate_refusals():
            self.connection.execute(self.queries["flip_documents"], values)
            flipped = self.connection.execute(self.queries["record_flips"], values).rowcount
        if flipped != len(document_ids):
            raise RowsRefused(KEPT)
        return 0

    def flip_allowed(self, document_ids: Sequence[str]) -> int:
        """Flip the rows that accept the update and record the faults of the others.

        Return how many refused.
        """
        refused = change_accepting(self.connection, document_ids, self.flip)
        for document_id, each in refused.items():
            self.record_fault(document_id, self._fault_with_holder(document_id, each))
        return len(refused)

    def _fault_with_holder(self, document_id: str, refused: RowsRefused) -> Fault:
        """Return why a row refuses.

        For a unique violation, with the document that already has the value.
        """
        refusal = refused.refusal
        if refusal is None or refusal.sqlstate != UniqueViolation.sqlstate or refusal.table is None:
            return refused.fault
        schema, table = refusal.table
        index = {"schema": schema, "table": table, "index": refusal.constraint}
        try:
            with self.connection.transaction():
                holder = self._holder(document_id, index)
        except psycopg.Error:  # for example no right to read a column: report the reason without the holder
            holder = None
        return fault_of(refusal, holder)

    def _holder(self, document_id: str, index: Mapping[str, str | None]) -> str | None:
        """Return the document whose row already has the values that this row would get in the index."""
        found = self.rows("columns_of_index", **index, document_id=document_id)
        names = [name for row in found for name in row.names]
        if not names:
            return None
        equal = sql.SQL(" AND ").join(sql.SQL("d.{0} = f.{0}").format(sql.Identifier(name)) for name in names)
        query = self.queries["rows_beside_flipped"] + sql.SQL(" AND {} LIMIT 1").format(equal)
        others = rows_of(self.connection, query, {**self.values, "document_id": document_id})
        return str(others[0].document_id) if others else None

    def supersede(self) -> int:
        """Mark the copies whose rows moved or were deleted as superseded; return how many."""
        with self.fence() as cursor:
            cursor.execute(self.queries["supersede_copies"], self.values)
            return cursor.rowcount

    def documents_at_home(self) -> Iterator[tuple[str, ExpectedDocument]]:
        """Yield (key, document) for every row that points to the home, in order of key.

        The expected size never comes from the row, because sizes in rows may be wrong.
        """
        for row in self.stream("documents_at_home"):
            source = source_of(row) if row.source_bucket and row.source_key else None
            expected = Expected(None, None, _strip_quotes(row.row_etag))
            if source:
                expected = Expected(row.source_etag, row.source_size, row.answered_etag)
            yield str(row.key), ExpectedDocument(str(row.document_id), expected, source)

    def known_targets(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys in the home that are copies of ours to which no row points."""
        return {str(row.target_key) for row in self.rows("known_targets", keys=list(keys))}

    def list_outstanding(self, *, is_cut_over: bool) -> list[Outstanding]:
        """Return the documents that could not be moved, in order of id.

        `is_cut_over`: count copies that are not flipped as well.
        """
        return [Outstanding.from_row(row) for row in self.rows("outstanding_documents", is_cut_over=is_cut_over)]

    def _prepare_batch(self) -> None:
        self.connection.execute(self.queries["prepare_batch"], prepare=False)  # several statements in one round trip

    def _name(self, after: str | None, limit: int, name: Callable[[list[str]], None]) -> str | None:
        with self.fence():
            self._prepare_batch()
            ids = [str(row.document_id) for row in self.next_rows("lock_null_buckets", after, limit)]
            if ids:
                name(ids)
        return ids[-1] if ids else None

    def _name_all(self, document_ids: Sequence[str]) -> None:
        values = {**self.values, "document_ids": list(document_ids)}
        with translate_refusals():
            self.connection.execute(self.queries["name_buckets"], values)
            named = self.connection.execute(self.queries["count_named"], values).fetchone()
        if named != (len(document_ids),):
            raise RowsRefused(KEPT)

    def _name_allowed(self, document_ids: Sequence[str]) -> None:
        for document_id, refused in change_accepting(self.connection, document_ids, self._name_all).items():
            self.record_fault(document_id, refused.fault)

    def _record_fault(self, name: str, document_id: str, fault: Fault) -> None:
        what = {"code": fault.code, "message": fault.message, "request_id": fault.request_id}
        with self.fence() as cursor:
            cursor.execute(self.queries[name], {**self.values, "document_id": document_id, **what})


def _surveyed_document(row: Row) -> SurveyedDocument:
    document = document_of(row, row.key_fault)
    found = object_of(row, row.key)
    return SurveyedDocument(
        document, found, None, copy_record_of(row), contested=row.contested, recorded_now=row.recorded_now
    )


def _outcome_columns(line: Line) -> tuple[object, ...]:
    task = line.task
    return (
        task.document_id, task.source.bucket, task.source.key, task.source_etag or None, task.size, task.storage_class,
        task.target.bucket, task.target.key, line.target_etag, line.version, line.checksum, line.state.value,
        line.attempts, line.code, line.message, line.request_id,
    )  # fmt: skip


def _strip_quotes(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None


class FailedDocuments(RunScope):
    """The failed documents of one tenant's migration."""

    def ids(self, code: str | None = None) -> set[str]:
        """Return the ids of documents outside the home that failed or are in quarantine, of one code if given."""
        return {str(row.document_id) for row in self.rows("failed_documents", code=code)}


class Sample(NamedTuple):
    """A document to read completely: where it is, and its expected ETag and size in bytes."""

    document_id: str
    place: ObjectRef
    etag: str
    size: int


class CanarySamples(RunScope):
    """Samples of one tenant's migration to read completely."""

    def copies(self, count: int) -> list[Sample]:
        """Return at most `count` copies that are not flipped yet, in order of id."""
        return [_sample(row) for row in self.rows("canary_copies", count=count)]

    def flipped_rows(self, count: int) -> list[Sample]:
        """Return at most `count` documents that this run flipped and that still point to their copies, latest first."""
        return [_sample(row) for row in self.rows("canary_rows", count=count)]


def _sample(row: Row) -> Sample:
    return Sample(str(row.document_id), target_of(row), row.target_etag, row.source_size)
