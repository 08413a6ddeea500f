"""A tenant's documents on their way: pages to copy, outcomes in batches, pointers flipped under row locks, samples, failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.errors import UniqueViolation

from rehouse.core.archiving import ARCHIVED_CODES, archived_detail
from rehouse.core.comparing import Expected
from rehouse.core.copies import Reason, Recorded, Seen
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyOutcome, CopyTask, Document, Fault, ListedObject, ObjectRef
from rehouse.core.row_refusals import KEPT, fault_of
from rehouse.ledger.row_refusals import RowsRefused, change_allowed, refusals
from rehouse.ledger.run_scope import Fenced

_OUTCOME_TYPES = ("text",) * 4 + ("int8",) + ("text",) * 7 + ("int4",) + ("text",) * 3
"""The types of `_outcome_columns`: a batch is written in PostgreSQL's binary form."""


class Counts(NamedTuple):
    """Rows of a tenant: all of them, those without a key, at home, outside with a key, and of these the accepted."""

    total: int
    without_key: int
    at_home: int
    outside: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Line:
    """What the ledger is told of one document: the outcome's task and state, and the fault if there is one."""

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
    """Return the line for an outcome: `copied`, or still `planned` with the fault; quarantined if S3 found it archived."""
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
    """Return the line of an object in an archive tier, or whose restore expired: only the copy itself shows that."""
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


class LockedCopy(NamedTuple):
    """A copy whose row is locked for the flip: what the source must still be, and where the row is to point."""

    document_id: str
    source: ObjectRef
    source_etag: str
    target: ObjectRef
    target_etag: str


class AtHome(NamedTuple):
    """A document whose object must be in the home bucket: what it must be, as far as anything recorded it, and its source."""

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


class Documents(Fenced):
    """The documents of one tenant's migration under one run."""

    def pages(self, limit: int) -> Iterator[list[Seen]]:
        """Yield the documents that have a key and are not at home, in order of id, at most `limit` at a time."""
        after: object = None
        while True:
            with self.connection.transaction():
                self.connection.execute(self.queries["prepare_page"])
                rows = self._next("page_of_documents", after, limit).fetchall()
            if rows:
                yield [_seen(row) for row in rows]
            if len(rows) < limit:
                return
            after = rows[-1][0]

    def counts(self) -> Counts:
        """Return how many rows the tenant has, by where they stand."""
        return Counts(*(int(value) for value in self.rows("count_documents")[0]))

    def rows_with_key(self) -> int:
        """Return how many rows of all tenants have a key."""
        return int(self.rows("count_rows_with_key")[0][0])

    def below(self, prefix: str) -> int:
        """Return how many of the tenant's documents lie below a prefix of its home."""
        return int(self.rows("count_below", prefix=prefix)[0][0])

    def migrated(self) -> tuple[int, int]:
        """Return (documents, bytes) that the migration has moved so far."""
        count, size = self.rows("migrated")[0]
        return int(count), int(size)

    def record(self, lines: Sequence[Line]) -> None:
        """Merge a batch of outcomes into the ledger, in one transaction."""
        with self.fenced() as cursor:
            cursor.execute(self.queries["make_outcomes"])
            with cursor.copy(self.queries["copy_outcomes"]) as copy:
                copy.set_types(_OUTCOME_TYPES)
                for line in lines:
                    copy.write_row(_outcome_columns(line))
            cursor.execute(self.queries["record_outcomes"], self.values)

    def waiting_copies(self) -> Iterator[tuple[str, AtHome]]:
        """Yield (target key, document) of the copies not flipped yet, in order of key."""
        for key, document_id, etag, size, answered, bucket, source_key in self.stream("waiting_copies"):
            yield str(key), AtHome(str(document_id), Expected(etag, size, answered), ObjectRef(bucket, source_key))

    def count_copies(self) -> tuple[int, int]:
        """Return how many copies wait for a flip of this run, and how many objects of ours the home bucket may hold."""
        waiting, at_home = self.rows("count_copies")[0]
        return int(waiting), int(at_home)

    def drop_copy(self, document_id: str, fault: Fault) -> None:
        """Send a copy that does not hold, or that could not be looked at, back to copying."""
        self._say("drop_copy", document_id, fault)

    def blame(self, document_id: str, fault: Fault) -> None:
        """Say why a copy waits: its source could not be looked at, or its row refused."""
        self._say("blame_copy", document_id, fault)

    def name_null_buckets(self, after: str | None, limit: int) -> str | None:
        """Write the shared bucket's name into rows with a key and no bucket, in order of id; return the last one's id.

        A row that refuses is left as it was, and the fault is written to its copy.
        """
        try:
            return self._name(after, limit, self._name_all)
        except RowsRefused:
            return self._name(after, limit, self._name_allowed)

    @contextmanager
    def locked_copies(self, after: str | None, limit: int) -> Iterator[list[LockedCopy]]:
        """Lock the next rows whose copies can be flipped; `flip` belongs inside, the commit is at the end."""
        with self.fenced():
            self.connection.execute(self.queries["check_at_once"])
            rows = self._next("lock_copies", after, limit).fetchall()
            yield [
                LockedCopy(str(row[0]), ObjectRef(row[1], row[2]), row[3], ObjectRef(row[4], row[5]), row[6])
                for row in rows
            ]

    def claimed_by_others(self, refs: Iterable[ObjectRef]) -> set[ObjectRef]:
        """Return which of these objects another tenant claims by now. What the tenant's own home holds is the tenant's."""
        keys: dict[str, list[str]] = {}
        for ref in refs:
            if ref.bucket != self.values["home_bucket"]:
                keys.setdefault(ref.bucket, []).append(ref.key)
        return {
            ObjectRef(bucket, str(row[0]))
            for bucket, wanted in keys.items()
            for row in self.rows("claimed_by_others", bucket=bucket, keys=wanted)
        }

    def flip(self, document_ids: Sequence[str]) -> int:
        """Point rows that are locked to their copies, and record it in the ledger; return how many refuse: none.

        Raises RowsRefused if one does.
        """
        values = {**self.values, "document_ids": list(document_ids)}
        with refusals():
            self.connection.execute(self.queries["flip_documents"], values)
            flipped = self.connection.execute(self.queries["record_flips"], values).rowcount
        if flipped != len(document_ids):
            raise RowsRefused(KEPT)
        return 0

    def flip_allowed(self, document_ids: Sequence[str]) -> int:
        """Flip the rows that can be updated and record the fault of the others; return how many these are."""
        refused = change_allowed(self.connection, document_ids, self.flip)
        for document_id, each in refused.items():
            self.blame(document_id, self._with_holder(document_id, each))
        return len(refused)

    def _with_holder(self, document_id: str, refused: RowsRefused) -> Fault:
        """Return why a row refuses; where another row has what a unique index allows once, with that row's document."""
        refusal = refused.refusal
        if refusal is None or refusal.sqlstate != UniqueViolation.sqlstate or refusal.table is None:
            return refused.fault
        schema, table = refusal.table
        index = {"schema": schema, "table": table, "index": refusal.constraint}
        try:
            with self.connection.transaction():
                holder = self._holder(document_id, index)
        except psycopg.Error:  # such as no right to read another column: the reason stands without the holder
            holder = None
        return fault_of(refusal, holder)

    def _holder(self, document_id: str, index: Mapping[str, str | None]) -> str | None:
        """Return the document whose row has what this one's would get in the columns of the index."""
        names = [name for row in self.rows("columns_of_index", **index) for name in row[0]]
        if not names:
            return None
        equal = sql.SQL(" AND ").join(sql.SQL("d.{0} = f.{0}").format(sql.Identifier(name)) for name in names)
        query = self.queries["rows_beside_flipped"] + sql.SQL(" AND {} LIMIT 1").format(equal)
        found = self.connection.execute(query, {**self.values, "document_id": document_id}).fetchone()
        return str(found[0]) if found else None

    def supersede(self) -> int:
        """Mark the copies whose rows moved or went; return how many."""
        with self.fenced() as cursor:
            cursor.execute(self.queries["supersede_copies"], self.values)
            return cursor.rowcount

    def at_home(self) -> Iterator[tuple[str, AtHome]]:
        """Yield (key, document) for every row that points into the home bucket, in order of key.

        A size that only the row claims is never expected: rows may be wrong there, the object's own size is the truth.
        """
        for row in self.stream("documents_at_home"):
            key, document_id, etag, size, answered, row_etag, bucket, source_key = row
            source = ObjectRef(bucket, source_key) if bucket and source_key else None
            expected = Expected(etag, size, answered) if source else Expected(None, None, _bare(row_etag))
            yield str(key), AtHome(str(document_id), expected, source)

    def known_targets(self, keys: Sequence[str]) -> set[str]:
        """Return which of these keys in the home bucket are copies of ours that no row points to."""
        return {str(row[0]) for row in self.rows("known_targets", keys=list(keys))}

    def outstanding(self, *, is_cut_over: bool) -> list[Outstanding]:
        """Return what the ledger says could not be moved, in order of id; `is_cut_over`: copies should be flipped by now."""
        return [
            Outstanding(str(row[0]), ObjectRef(row[1], row[2]), DocumentState(row[3]), *row[4:])
            for row in self.rows("outstanding_documents", is_cut_over=is_cut_over)
        ]

    def _name(self, after: str | None, limit: int, name: Callable[[list[str]], None]) -> str | None:
        with self.fenced():
            self.connection.execute(self.queries["check_at_once"])
            ids = [str(row[0]) for row in self._next("lock_null_buckets", after, limit)]
            if ids:
                name(ids)
        return ids[-1] if ids else None

    def _name_all(self, document_ids: Sequence[str]) -> None:
        values = {**self.values, "document_ids": list(document_ids)}
        with refusals():
            self.connection.execute(self.queries["name_buckets"], values)
            named = self.connection.execute(self.queries["count_named"], values).fetchone()
        if named != (len(document_ids),):
            raise RowsRefused(KEPT)

    def _name_allowed(self, document_ids: Sequence[str]) -> None:
        for document_id, refused in change_allowed(self.connection, document_ids, self._name_all).items():
            self.blame(document_id, refused.fault)

    def _say(self, name: str, document_id: str, fault: Fault) -> None:
        what = {"code": fault.code, "message": fault.message, "request_id": fault.request_id}
        with self.fenced() as cursor:
            cursor.execute(self.queries[name], {**self.values, "document_id": document_id, **what})

    def _next(self, name: str, after: object, limit: int) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run a query that goes on after an id. Never prepared: the plan that a prepared statement gets in the end does not
        know whether there is such an id, so it would read the tenant from its beginning for each batch.
        """
        values = {**self.values, "after": after, "limit": limit}
        return self.connection.execute(self.queries[name], values, prepare=False)


def _seen(row: tuple[Any, ...]) -> Seen:
    """Read a row of `page_of_documents`: the document (8 columns), the inventory (5), the ledger's line (8)."""
    document_id, tenant_id, *fields = row[:8]
    etag, size, storage_class, modified_at, contested = row[8:13]
    state, source_bucket, source_key, source_etag, target_bucket, target_key, target_etag, recorded_now = row[13:]
    document = Document(str(document_id), tenant_id if isinstance(tenant_id, int) else str(tenant_id), *fields)
    source = ListedObject(document.key or "", etag, size, storage_class, modified_at) if etag is not None else None
    recorded = None
    if state is not None:
        target = ObjectRef(target_bucket, target_key) if target_key else None
        recorded = Recorded(
            DocumentState(state), ObjectRef(source_bucket, source_key), source_etag, target, target_etag
        )
    return Seen(document, source, None, recorded, contested, bool(recorded_now))


def _outcome_columns(line: Line) -> tuple[object, ...]:
    task = line.task
    return (
        task.document_id, task.source.bucket, task.source.key, task.source_etag, task.size, task.storage_class,
        task.target.bucket, task.target.key, line.target_etag, line.version, line.checksum, line.state.value,
        line.attempts, line.code, line.message, line.request_id,
    )  # fmt: skip


def _bare(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None


class Failures(Fenced):
    """The failed documents of one tenant's migration."""

    def ids(self, code: str | None = None) -> set[str]:
        """Return the ids of the documents that failed or are in quarantine (with this code), as far as they are not at home."""
        return {str(row[0]) for row in self.rows("failed_documents", code=code)}


class Sample(NamedTuple):
    """A document to be read in full: where, and what it must be (bytes)."""

    document_id: str
    place: ObjectRef
    etag: str
    size: int


class Canaries(Fenced):
    """What there is to try of one tenant's migration."""

    def copies(self, count: int) -> list[Sample]:
        """Return at most `count` copies that wait for the flip, in order of id."""
        return [_sample(row) for row in self.rows("canary_copies", count=count)]

    def rows_flipped(self, count: int) -> list[Sample]:
        """Return at most `count` documents that this run flipped and whose rows still point there, the last ones first."""
        return [_sample(row) for row in self.rows("canary_rows", count=count)]


def _sample(row: tuple[object, ...]) -> Sample:
    document_id, bucket, key, etag, size = row
    return Sample(str(document_id), ObjectRef(str(bucket), str(key)), str(etag), int(str(size)))
