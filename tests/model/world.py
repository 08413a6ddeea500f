"""One document's world, in memory: rows, locks, objects, the ledger's lines, the phase, a clock, and what was promised.

Each method is one request or one transaction and so happens at once; the protocols (forward, ending, returning) and the
writers are generators that say what they do next and are held before every step. What must never be is a Violation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from rehouse.core.copies import CopyRecord, Places
from rehouse.core.lifecycle import DocumentState, Event, Phase, after, is_at_least
from rehouse.core.model import CopyTask, Document, ListedObject, ObjectRef
from rehouse.core.unrecorded_copies import Doubt, doubt_about

SHARED, HOME = "shared", "home"
TENANT, OTHER = 1, 2
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
PLACES = {live: Places((SHARED,), HOME, is_live=live) for live in (False, True)}


class Clause(Enum):
    """What the protocols insist on; a model with one of them switched off must break a promise."""

    SOURCE_CONDITION = auto()
    TARGET_CONDITION = auto()
    LIVE_HOME = auto()
    LOOK_UNDER_LOCK = auto()
    POINTER_COMPARED = auto()
    TENANT_COMPARED = auto()
    ROW_LOCKED = auto()
    HOME_BEFORE_FLIPS = auto()
    FENCE = auto()
    LATE_WRITES = auto()
    LATE_WRITE_ON_OUR_COPY = auto()
    LATE_WRITE_UNDER_LOCK = auto()
    LATE_WRITE_OF_ANOTHER = auto()
    UNGUARDED_COPY_UNDER_LOCK = auto()
    RETURN_NOT_TO_ANOTHER = auto()
    GRACE = auto()
    GRACE_STARTS_AGAIN = auto()
    GRACE_OF_EVERY_LINE = auto()
    GRACE_AFTER_SWEEP = auto()
    RELEASED_FIRST = auto()
    HOME_PROVEN = auto()
    ERRORS_STAY = auto()
    ROWS_ASKED_FIRST = auto()
    HEAD_FIRST = auto()
    DELETE_CONDITION = auto()
    ROWS_ASKED_AFTER = auto()
    HOME_AS_COPIED = auto()
    OLD_ONE_LOOKED_AT = auto()
    RETURNED_KEY_FREE = auto()
    RETURN_LOOK_UNDER_LOCK = auto()
    HOME_RETURNED_FIRST = auto()
    LATE_WRITES_AT_HOME = auto()
    LATE_RETURN_UNDER_LOCK = auto()
    FENCED_LOOK = auto()
    DROPPED_IS_NOT_OURS = auto()
    STAYS_LIVE = auto()
    CAUGHT_UP = auto()
    RETURNS_GIVEN_UP = auto()
    DOUBTED_WHEN_GIVEN_UP = auto()
    LINE_BACK_STANDS = auto()
    ALL_COMPARED = auto()


class Violation(AssertionError):
    """A promise that was broken."""


class Stopped(Exception):
    """The run lost its migration to another one: its transaction is rolled back."""


class Row(NamedTuple):
    """A row of documents; `version` is what the application last committed, None while the upload is under way."""

    tenant: int
    bucket: str
    key: str
    etag: str | None
    version: int | None

    @property
    def at(self) -> ObjectRef:
        return ObjectRef(self.bucket, self.key)


class Object(NamedTuple):
    """An object; its content is a number, `stamp` tells what was written later, `is_copy` whether the operator wrote it."""

    content: int
    stamp: int
    is_copy: bool = False


class Line(NamedTuple):
    """The ledger's line of a document."""

    state: DocumentState
    source: ObjectRef
    source_etag: str | None
    target: ObjectRef
    target_etag: str | None
    run: int
    flipped_on: int | None = None
    error: str | None = None
    reported: str | None = None
    was_copied: bool = False


def etag_of(content: int) -> str:
    """An ETag that looks like an MD5: equal bytes have equal ones, wherever they are."""
    return f"{content:032x}"


@dataclass
class World:
    """Everything that is remembered anywhere. `off`: the clauses that this world's operator forgets.

    `is_guarded`: whether this S3 honours the condition on a copy's target. `is_in_one_second`: everything is written within the
    second that S3 tells.
    """

    off: frozenset[Clause] = frozenset()
    after_zero: bool = False
    is_guarded: bool = True
    is_in_one_second: bool = False
    rows: dict[str, Row] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)
    objects: dict[ObjectRef, Object] = field(default_factory=dict)
    lines: dict[str, Line] = field(default_factory=dict)
    home: str | None = None
    phase: Phase = Phase.PLANNED
    was_live: bool = False
    run: int = 0
    day: int = 0
    stamp: int = 0
    done: int = 0
    heads: dict[str, frozenset[int]] = field(default_factory=dict)
    held: set[tuple[str, ObjectRef, int]] = field(default_factory=set)
    grants: frozenset[str] = frozenset()

    def on(self, clause: Clause) -> bool:
        """Whether the operator keeps this clause."""
        return clause not in self.off

    # S3 ---------------------------------------------------------------------------------------------------------------

    def etag(self, ref: ObjectRef) -> str | None:
        """HEAD."""
        found = self.objects.get(ref)
        return etag_of(found.content) if found else None

    def listed(self, bucket: str) -> dict[ObjectRef, ListedObject]:
        """A listing of a bucket."""
        return {ref: self.head(ref) for ref in self.objects if ref.bucket == bucket}

    def head(self, ref: ObjectRef) -> ListedObject:
        """HEAD of something that is there."""
        found = self.objects[ref]
        modified = BEGINNING + timedelta(seconds=0 if self.is_in_one_second else found.stamp)
        return ListedObject(ref.key, etag_of(found.content), found.content, "STANDARD", modified)

    def is_proven(self, source: ListedObject, target: ListedObject) -> bool:
        """What a comparison of everything shows: here the content is everything."""
        is_compared = self.on(Clause.ALL_COMPARED) and doubt_about(source, target) is Doubt.ALL
        return is_compared and source.etag == target.etag

    def copy(self, task: CopyTask, *, is_guarded: bool = True) -> str | None:
        """CopyObject by the operator; its ETag, or None where a condition failed."""
        source, there = self.objects.get(task.source), self.etag(task.target)
        if source is None or (self.on(Clause.SOURCE_CONDITION) and etag_of(source.content) != task.source_etag):
            return None
        is_asked = is_guarded and self.is_guarded and self.on(Clause.TARGET_CONDITION)
        if is_asked and there != task.replaces_etag:
            return None
        if task.target.bucket == SHARED and there is not None:
            raise Violation(f"the operator overwrites {task.target.key} in the shared bucket")
        self._write(task.target, source.content, is_copy=True)
        return etag_of(source.content)

    def delete(self, ref: ObjectRef, etag: str | None) -> bool:
        """DELETE with If-Match by the operator; whether nothing is there any more."""
        there = self.etag(ref)
        if there is None:
            return True
        if self.on(Clause.DELETE_CONDITION) and there != etag:
            return False
        if self.phase not in (Phase.RELEASED, Phase.FINISHED):
            raise Violation(f"{ref.key} is removed in phase {self.phase}")
        if there != etag:
            raise Violation(f"{ref.key} is removed with content that the ledger does not know")
        del self.objects[ref]
        return True

    def put(
        self, document: str, ref: ObjectRef, content: int, knew: Iterable[int] = (), read: int | None = None
    ) -> None:
        """PUT by the application, which knew some contents: what it overwrites and what it knew is not wanted any more.

        `read`: what it read there once it had locked the row. It knows of nothing that the operator copied there since.
        """
        there = self.objects.get(ref)
        is_unknown = there is not None and there.is_copy and read is not None
        gone = {*knew, *([read] if is_unknown else [there.content] if there else [])}
        self._write(ref, content)
        self.heads[document] = (self.heads.get(document, frozenset()) - gone) | {content}

    def upload(self, ref: ObjectRef, content: int) -> None:
        """PUT by the application under a new key; no row says so yet."""
        self._write(ref, content)

    def _write(self, ref: ObjectRef, content: int, *, is_copy: bool = False) -> None:
        self.stamp += 1
        self.objects[ref] = Object(content, self.stamp, is_copy)

    # PostgreSQL -------------------------------------------------------------------------------------------------------

    def begin(self) -> int:
        """A new run owns the migration; return its number."""
        self.run += 1
        return self.run

    def fence(self, run: int) -> None:
        """Every transaction of a run begins so."""
        if self.on(Clause.FENCE) and run != self.run:
            raise Stopped

    def advance(self, run: int, event: Event) -> None:
        """Move the phase as the real table says."""
        self.fence(run)
        self.phase = after(self.phase, event)

    def record(self, run: int, document: str, line: Line) -> None:
        """Write a line of the ledger."""
        self.fence(run)
        self.lines[document] = line._replace(run=run)

    def point(self, document: str, ref: ObjectRef, etag: str | None) -> None:
        """Change a row's pointer, as an operator does; the application's own version stays."""
        row = self.rows[document]
        if row.tenant != TENANT:
            raise Violation(f"the row of another tenant is pointed to {ref.bucket}")
        line = self.lines[document]
        known = {line.source: line.source_etag, line.target: line.target_etag}.get(row.at)
        if row.etag == self.etag(row.at) and row.etag not in (known, etag):
            raise Violation(f"{document} is pointed away from what was committed under its lock")
        self.rows[document] = row._replace(bucket=ref.bucket, key=ref.key, etag=etag)

    def lock(self, document: str, owner: str) -> bool:
        """Lock a row, or leave it if somebody else holds it."""
        if self.on(Clause.ROW_LOCKED) and document in self.locks:
            return False
        self.locks[document] = owner
        return True

    def unlock(self, document: str, owner: str) -> None:
        """End the transaction that holds a row."""
        if self.locks.get(document) == owner:
            del self.locks[document]

    def recorded(self, document: str) -> CopyRecord | None:
        """The line as core.planning wants it."""
        line = self.lines.get(document)
        return CopyRecord(line.state, line.source, line.source_etag, line.target, line.target_etag) if line else None

    def document(self, document: str) -> Document:
        """The row as core.planning wants it."""
        row = self.rows[document]
        return Document(document, row.tenant, document, row.bucket, row.key, row.etag, None)

    def places(self) -> Places:
        """Where things are to be: is the home one that the application may still write into?"""
        is_live = is_at_least(self.phase, Phase.CUT_OVER) or (self.was_live and self.on(Clause.STAYS_LIVE))
        return PLACES[is_live and self.on(Clause.LIVE_HOME)]

    # What is promised -------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """More than the grace passes: nobody uses what was read before."""
        self.day += 1
        self.held.clear()

    def check(self) -> None:
        """Raise Violation if a promise is broken now."""
        for document, row in self.rows.items():
            if row.version is not None:
                self.held.add((document, row.at, row.version))
        for document, ref, version in self.held:
            found = self.objects.get(ref)
            is_promised = document in self.rows and not self.after_zero  # what --after 0 gives up
            if is_promised and (found is None or found.content < version):
                what = f"holds {found.content}" if found else "is gone"
                raise Violation(f"whoever read {ref.bucket}/{ref.key} when {version} was committed: it {what}")
        kept = {each.content for each in self.objects.values()}
        for document, heads in self.heads.items():
            if document in self.rows and not heads <= kept:
                raise Violation(f"what was written to {document} is nowhere any more: {sorted(heads - kept)}")
