"""Promise 5: what is written to an object after its document was flipped away is copied, or is a conflict with both kept."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from tests.model.world import HOME, SHARED, TENANT, Clause, Line, World

from rehouse.core.copies import is_adoptable
from rehouse.core.late_writes import Moved, Verdict, decide_late
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyTask, ListedObject, ObjectRef
from rehouse.core.naming import returned_key

SLUG = "acme"
LISTED = Mapping[ObjectRef, ListedObject]
Steps = Generator[str, None, None]
FLIPPED = (DocumentState.FLIPPED, DocumentState.REMOVING, DocumentState.REMOVED)


def line_of(task: CopyTask, state: DocumentState, etag: str | None) -> Line:
    """The line of a copy that was made, or was not."""
    return Line(state, task.source, task.source_etag, task.target, etag or task.replaces_etag, 0, was_copied=True)


def is_pointed(world: World, document: str, ref: ObjectRef) -> bool:
    """Whether this document's row points there, and is the tenant's."""
    row = world.rows.get(document)
    return row is not None and row.tenant == TENANT and row.at == ref


def may_be_anothers(world: World, document: str, ref: ObjectRef) -> bool:
    """Whether a shared object may be another document's: its row points there, or its line knows another object there."""
    etags = {
        line.source_etag if line.source == ref else line.target_etag
        for line in world.lines.values()
        if ref in (line.source, line.target)
    }
    return len(etags) > 1 or any(other != document and row.at == ref for other, row in world.rows.items())


def late_writes(world: World, run: int, shared: LISTED) -> Steps:
    """Promise 5: what was written to a source after its flip is copied, or is a conflict."""
    documents = list(world.lines) if world.on(Clause.LATE_WRITES) else []
    while documents:
        document = documents.pop()
        line, found = world.lines[document], shared.get(world.lines[document].source)
        is_late = found and (found.etag != line.source_etag or line.state is DocumentState.REMOVED)
        if found and is_late and line.state in FLIPPED and line.target.bucket == HOME and line.reported != found.etag:
            yield from _late_write(world, run, document)


def _late_write(world: World, run: int, document: str) -> Steps:
    owner, line = f"run {run}", world.lines[document]
    yield f"late write: lock the row of {document}"
    world.fence(run)
    if document not in world.rows or (world.on(Clause.LATE_WRITE_UNDER_LOCK) and not world.lock(document, owner)):
        return
    row = world.rows[document].at
    yield f"late write: look at both objects of {document}"
    found, there = (world.head(ref) if ref in world.objects else None for ref in (line.source, line.target))
    is_anothers = may_be_anothers(world, document, line.source) and world.on(Clause.LATE_WRITE_OF_ANOTHER)
    ends = line.source, line.source_etag, line.target, line.target_etag
    moved = Moved(document, line.state, *ends, contested=is_anothers)
    verdict = decide_late(moved, row, found, there)
    if verdict is Verdict.CONFLICT and not world.on(Clause.LATE_WRITE_ON_OUR_COPY) and there:
        verdict, moved = Verdict.COPY, replace(moved, target_etag=there.etag)
    new = line._replace(error=None)
    if verdict is Verdict.CONFLICT and found:
        new = line._replace(error="Conflict", reported=found.etag)
    elif verdict in (Verdict.COPY, Verdict.ADOPT) and found:
        task = CopyTask(document, line.source, found.etag, found.size, "STANDARD", line.target, moved.target_etag)
        etag: str | None = found.etag
        if verdict is Verdict.COPY:
            yield f"late write: copy {document}"
            etag = world.copy(task)
        new = line_of(task, DocumentState.FLIPPED, etag)._replace(flipped_on=_again(world, line)) if etag else line
    yield f"late write: commit {document}"
    world.unlock(document, owner)
    world.fence(run)
    world.record(run, document, new)
    if new.target_etag != line.target_etag and is_pointed(world, document, line.target):
        world.point(document, line.target, new.target_etag)


def _again(world: World, line: Line) -> int | None:
    return world.day if world.on(Clause.GRACE_STARTS_AGAIN) else line.flipped_on


def late_writes_at_home(world: World, run: int, home: LISTED) -> Generator[str, None, bool]:
    """The same after a way back: what was written to the home since is copied under a new key of the shared bucket.

    Returns whether something is left: its row is busy, its copy failed.
    """
    documents = list(world.lines) if world.on(Clause.LATE_WRITES_AT_HOME) else []
    is_left = False
    while documents:
        document = documents.pop()
        if _is_written_after(world, document, home):
            is_left = (yield from _late_return(world, run, document)) or is_left
    return is_left


def _is_written_after(world: World, document: str, home: LISTED) -> bool:
    """Whether the listing shows something else at home than was sent back, or something was in the way before."""
    line, row, found = world.lines[document], world.rows.get(document), home.get(world.lines[document].source)
    is_back = line.state is DocumentState.FLIPPED and line.target.bucket == SHARED
    is_elsewhere = row is not None and row.tenant == TENANT and row.bucket != HOME
    return found is not None and is_back and is_elsewhere and (found.etag != line.source_etag or line.error is not None)


def _late_return(world: World, run: int, document: str) -> Generator[str, None, bool]:
    """Settle one; return whether it is left for another run."""
    owner, line = f"run {run}", world.lines[document]
    yield f"late write at home: lock the row of {document}"
    world.fence(run)
    if document not in world.rows:
        return False
    if not world.lock(document, owner):
        return True
    yield f"late write at home: look at both objects of {document}"
    found = world.head(line.source) if line.source in world.objects else None
    new = line._replace(error="Conflict", reported=found.etag if found else None)
    if found is None or found.etag == line.source_etag:
        new = line._replace(error=None)
    elif is_pointed(world, document, line.target) and world.etag(line.target) == line.target_etag:
        free = _free_places(world, document, found)
        new = line._replace(error="target_taken")
        if free:
            task = CopyTask(document, line.source, found.etag, found.size, "STANDARD", free[0])
            yield f"late write at home: copy {document}"
            etag = world.etag(task.target) or world.copy(task)
            new = line_of(task, DocumentState.FLIPPED, etag)._replace(flipped_on=world.day) if etag else line
    yield f"late write at home: commit {document}"
    world.unlock(document, owner)
    world.fence(run)
    if document in world.rows:
        world.record(run, document, new)
        if new.target != line.target:
            world.point(document, new.target, new.target_etag)
    return new.error == "target_taken" or new is line


def _free_places(world: World, document: str, found: ListedObject) -> list[ObjectRef]:
    """Of the two places those that hold nothing, or what a run copied there that could not write it down."""
    places = returned(document), returned(document, found.etag)
    return [ref for ref in places if ref not in world.objects or is_adoptable(found, world.head(ref))]


def returned(document: str, etag: str | None = None) -> ObjectRef:
    """The key of the shared bucket that a document returns to; with an ETag where the plain one is taken."""
    return ObjectRef(SHARED, returned_key(SLUG, document, document, etag=etag))
