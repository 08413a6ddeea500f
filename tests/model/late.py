"""Promise 5: what is written to an object after its document was flipped away is copied, or is a conflict with both kept."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from tests.model.world import HOME, SHARED, TENANT, Clause, Line, World

from rehouse.core.late_writing import Moved, Verdict, decide_late
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
    moved = Moved(document, line.state, line.source, line.source_etag, line.target, line.target_etag)
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


def late_writes_at_home(world: World, run: int, home: LISTED) -> Steps:
    """The same after a way back: what was written to the home since is copied under a new key of the shared bucket."""
    documents = list(world.lines) if world.on(Clause.LATE_WRITES_AT_HOME) else []
    while documents:
        document = documents.pop()
        line, found = world.lines[document], home.get(world.lines[document].source)
        is_late = line.state is DocumentState.FLIPPED and line.target.bucket == SHARED
        if found and is_late and found.etag not in (line.source_etag, line.reported):
            yield from _late_return(world, run, document, found)


def _late_return(world: World, run: int, document: str, found: ListedObject) -> Steps:
    owner, line = f"run {run}", world.lines[document]
    yield f"late write at home: lock the row of {document}"
    world.fence(run)
    if document not in world.rows or not world.lock(document, owner):
        return
    yield f"late write at home: look at {document} in the shared bucket"
    new = line._replace(error="Conflict", reported=found.etag)
    if is_pointed(world, document, line.target) and world.etag(line.target) == line.target_etag:
        free = [ref for ref in (returned(document), returned(document, found.etag)) if ref not in world.objects]
        new = line._replace(error="target_taken", reported=found.etag)
        if free:
            task = CopyTask(document, line.source, found.etag, found.size, "STANDARD", free[0])
            yield f"late write at home: copy {document}"
            etag = world.copy(task)
            new = line_of(task, DocumentState.FLIPPED, etag)._replace(flipped_on=world.day) if etag else line
    yield f"late write at home: commit {document}"
    world.unlock(document, owner)
    world.fence(run)
    if document in world.rows:
        world.record(run, document, new)
        if new.target != line.target:
            world.point(document, new.target, new.target_etag)


def returned(document: str, etag: str | None = None) -> ObjectRef:
    """The key of the shared bucket that a document returns to; with an ETag where the plain one is taken."""
    return ObjectRef(SHARED, returned_key(SLUG, document, document, etag=etag))
