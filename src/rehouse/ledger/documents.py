"""The tenant's documents: pages of what is to be done, outcomes written in batches, pointers flipped under row locks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from rehouse.core.comparing import Expected
from rehouse.core.errors import Halt
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyOutcome, CopyTask, Document, ListedObject, Migration, ObjectRef
from rehouse.core.planning import Recorded, Seen
from rehouse.ledger.queries import Queries


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
    """Return the line for an outcome: `copied`, or still `planned` with the fault."""
    fault = outcome.fault
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


class LockedCopy(NamedTuple):
    """A copy whose row is locked for the flip: what the source must still be."""

    document_id: str
    source: ObjectRef
    source_etag: str
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


class Documents:
    """The documents of one tenant's migration under one run. Every write begins with the fence on the run's id."""

    def __init__(
        self,
        connection: psycopg.Connection,
        queries: Queries,
        migration: Migration,
        *,
        run_id: str,
        default_bucket: str,
    ) -> None:
        self._connection = connection
        self._queries = queries
        self._values: dict[str, object] = {
            "tenant_id": migration.tenant_id,
            "run_id": run_id,
            "home_bucket": migration.home_bucket,
            "default_bucket": default_bucket,
        }

    def pages(self, limit: int) -> Iterator[list[Seen]]:
        """Yield the documents that have a key and are not at home, in order of id, at most `limit` at a time."""
        after: object = None
        while True:
            rows = self._rows("page_of_documents", after=after, limit=limit)
            if not rows:
                return
            yield [_seen(row) for row in rows]
            after = rows[-1][0]

    def counts(self) -> Counts:
        """Return how many rows the tenant has, by where they stand."""
        return Counts(*(int(value) for value in self._rows("count_documents")[0]))

    def rows_with_key(self) -> int:
        """Return how many rows of all tenants have a key."""
        return int(self._rows("count_rows_with_key")[0][0])

    def migrated(self) -> tuple[int, int]:
        """Return (documents, bytes) that the migration has moved so far."""
        count, size = self._rows("migrated")[0]
        return int(count), int(size)

    def record(self, lines: Sequence[Line]) -> None:
        """Merge a batch of outcomes into the ledger, in one transaction."""
        with self._fenced() as cursor:
            cursor.execute(self._queries["make_outcomes"])
            with cursor.copy(self._queries["copy_outcomes"]) as copy:
                for line in lines:
                    copy.write_row(_outcome_columns(line))
            cursor.execute(self._queries["record_outcomes"], self._values)

    def waiting_copies(self) -> Iterator[tuple[str, AtHome]]:
        """Yield (target key, document) of the copies not flipped yet, in order of key."""
        for key, document_id, etag, size, answered, bucket, source_key in self._stream("waiting_copies"):
            yield str(key), AtHome(str(document_id), Expected(etag, size, answered), ObjectRef(bucket, source_key))

    def count_copies(self) -> tuple[int, int]:
        """Return how many copies wait for the flip, and how many objects of ours the home bucket may hold."""
        waiting, at_home = self._rows("count_copies")[0]
        return int(waiting), int(at_home)

    def drop_copy(self, document_id: str, found_etag: str | None, code: str, message: str) -> None:
        """Send a copy that does not hold back to copying."""
        with self._fenced() as cursor:
            cursor.execute(
                self._queries["drop_copy"],
                {
                    **self._values,
                    "document_id": document_id,
                    "found_etag": found_etag,
                    "code": code,
                    "message": message,
                },
            )

    def name_null_buckets(self, after: str | None, limit: int) -> str | None:
        """Write the shared bucket's name into rows with a key and no bucket, in order of id; return the last one's id."""
        with self._fenced() as cursor:
            cursor.execute(self._queries["name_null_buckets"], {**self._values, "after": after, "limit": limit})
            row = cursor.fetchone()
        return str(row[0]) if row else None

    @contextmanager
    def locked_copies(self, after: str | None, limit: int) -> Iterator[list[LockedCopy]]:
        """Lock the next rows whose copies can be flipped; `flip` belongs inside, the commit is at the end."""
        with self._fenced() as cursor:
            cursor.execute(self._queries["lock_copies"], {**self._values, "after": after, "limit": limit})
            yield [LockedCopy(str(row[0]), ObjectRef(row[1], row[2]), row[3], row[4]) for row in cursor.fetchall()]

    def flip(self, document_ids: Sequence[str]) -> int:
        """Point rows that are locked to their copies, and say so in the ledger; return how many."""
        values = {**self._values, "document_ids": list(document_ids)}
        flipped = self._connection.execute(self._queries["flip_documents"], values).rowcount
        recorded = self._connection.execute(self._queries["record_flips"], values).rowcount
        if not flipped == recorded == len(document_ids):
            raise Halt(
                f"{len(document_ids)} rows were locked, {flipped} pointers and {recorded} ledger lines changed",
                hint="nothing was committed; a trigger on the documents table may be changing rows",
            )
        return flipped

    def supersede(self) -> int:
        """Mark the copies whose rows moved or went; return how many."""
        with self._fenced() as cursor:
            cursor.execute(self._queries["supersede_copies"], self._values)
            return cursor.rowcount

    def at_home(self) -> Iterator[tuple[str, AtHome]]:
        """Yield (key, document) for every row that points into the home bucket, in order of key.

        A size that only the row claims is never expected: rows may be wrong there, the object's own size is the truth.
        """
        for row in self._stream("documents_at_home"):
            key, document_id, etag, size, answered, row_etag, bucket, source_key = row
            source = ObjectRef(bucket, source_key) if bucket and source_key else None
            expected = Expected(etag, size, answered) if source else Expected(None, None, _bare(row_etag))
            yield str(key), AtHome(str(document_id), expected, source)

    def known_targets(self, keys: Sequence[str]) -> set[str]:
        """Return which of these keys in the home bucket are copies of ours that no row points to."""
        return {str(row[0]) for row in self._rows("known_targets", keys=list(keys))}

    def outstanding(self, *, is_cut_over: bool) -> list[Outstanding]:
        """Return what the ledger says could not be moved, in order of id; `is_cut_over`: copies should be flipped by now."""
        return [
            Outstanding(str(row[0]), ObjectRef(row[1], row[2]), DocumentState(row[3]), *row[4:])
            for row in self._rows("outstanding_documents", is_cut_over=is_cut_over)
        ]

    @contextmanager
    def _fenced(self) -> Iterator[psycopg.Cursor]:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if cursor.execute(self._queries["fence"], self._values).fetchone() is None:
                raise Halt(
                    "this migration belongs to another run now",
                    hint="another operator took it over; `rehouse status` shows what was done",
                )
            yield cursor

    def _rows(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(self._queries[name], {**self._values, **values}).fetchall()

    def _stream(self, name: str) -> Iterator[tuple[Any, ...]]:
        with self._connection.transaction(), self._connection.cursor(name=f"rehouse_{name}") as cursor:
            cursor.itersize = 2000
            self._connection.execute(self._queries["prepare_stream"])
            cursor.execute(self._queries[name], self._values)
            yield from cursor


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
