"""Promise 5: what is written to an object after its document was flipped away is copied, or is a conflict with both kept."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace

from tests.model.world import HOME, SHARED, TENANT, Clause, Line, World

from rehouse.core.copies import CopiedDocument, is_adoptable
from rehouse.core.late_writes import Verdict, decide_late_write
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyTask, ListedObject, ObjectRef
from rehouse.core.naming import returned_key

SLUG = "acme"
ROUNDS = 2
"""The command looks and copies once more; here that is a round which changes nothing else."""
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
    """Copy without a lock where the copy is guarded, then lock the row, look once more and commit."""
    owner, number, copied = f"run {run}", 0, None
    while number < ROUNDS:
        number += 1
        yield f"late write: look at both objects of {document}"
        world.fence(run)
        task, _ = _decided(world, document, copied)
        if task and _may_copy_unlocked(world):
            yield f"late write: copy {document}"
            copied = task if world.copy(task) else copied
        yield f"late write: lock the row of {document}"
        world.fence(run)
        is_looked = world.on(Clause.LATE_WRITE_UNDER_LOCK) or copied is None
        if document not in world.rows or (is_looked and not world.lock(document, owner)):
            return
        if is_looked:
            yield f"late write: look at both objects of {document} once more"
            task, new = _decided(world, document, copied)
        elif copied:
            new = _brought_home(world, copied)
        if task and is_looked and _may_copy_unlocked(world):
            world.unlock(document, owner)
            continue
        if task and is_looked:
            yield f"late write: copy {document} under the lock"
            new = _brought_home(world, task) if world.copy(task) else world.lines[document]
        yield f"late write: commit {document}"
        world.unlock(document, owner)
        _commit(world, run, document, new)
        return


def _may_copy_unlocked(world: World) -> bool:
    return world.is_guarded or not world.on(Clause.UNGUARDED_COPY_UNDER_LOCK)


def _decided(world: World, document: str, copied: CopyTask | None) -> tuple[CopyTask | None, Line]:
    """What to copy; without that, the line as it is to be."""
    line, row = world.lines[document], world.rows.get(document)
    found, there = (world.head(ref) if ref in world.objects else None for ref in (line.source, line.target))
    is_anothers = may_be_anothers(world, document, line.source) and world.on(Clause.LATE_WRITE_OF_ANOTHER)
    ends = line.source, line.source_etag, line.target, line.target_etag
    moved = CopiedDocument(document, line.state, *ends, contested=is_anothers)
    copied_etag = copied.source_etag if copied else None
    at = row.at if row and row.tenant == TENANT else None
    verdict = decide_late_write(moved, at, found, there, copied_etag=copied_etag)
    if verdict is Verdict.CONFLICT and not world.on(Clause.LATE_WRITE_ON_OUR_COPY) and there:
        verdict, moved = Verdict.COPY, replace(moved, target_etag=there.etag)
    if verdict is Verdict.RECORD and copied:
        return None, _brought_home(world, copied)
    if verdict is Verdict.CONFLICT and found:
        return None, line._replace(error="Conflict", reported=found.etag)
    if verdict in (Verdict.COPY, Verdict.ADOPT) and found:
        task = CopyTask(document, line.source, found.etag, found.size, "STANDARD", line.target, moved.target_etag)
        return (task, line) if verdict is Verdict.COPY else (None, _brought_home(world, task))
    return None, line._replace(error=None)


def _brought_home(world: World, task: CopyTask) -> Line:
    """The line of a late write that is home, under the ETag that both ends have."""
    line = world.lines[task.document_id]
    return line_of(task, DocumentState.FLIPPED, task.source_etag)._replace(flipped_on=_again(world, line))


def _commit(world: World, run: int, document: str, new: Line) -> None:
    world.fence(run)
    old = world.lines[document]
    if new.target_etag != old.target_etag and is_pointed(world, document, old.target):
        world.point(document, old.target, new.target_etag)
    world.record(run, document, new)


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
    """Settle one, in the same steps; return whether it is left for another run."""
    owner, number, copied = f"run {run}", 0, None
    while number < ROUNDS:
        number += 1
        yield f"late write at home: look at both objects of {document}"
        world.fence(run)
        task, _ = _to_send(world, document, copied)
        if task and _may_copy_unlocked(world):
            yield f"late write at home: copy {document}"
            copied = _sent(world, task) or copied
        yield f"late write at home: lock the row of {document}"
        world.fence(run)
        if document not in world.rows:
            return False
        is_looked = world.on(Clause.LATE_RETURN_UNDER_LOCK) or copied is None
        if is_looked and not world.lock(document, owner):
            return True
        if is_looked:
            yield f"late write at home: look at both objects of {document} once more"
            task, new = _to_send(world, document, copied)
        elif copied:
            new = _sent_line(world, copied)
        if task and is_looked and _may_copy_unlocked(world):
            world.unlock(document, owner)
            continue
        if task and is_looked:
            yield f"late write at home: copy {document} under the lock"
            new = _sent_line(world, task) if _sent(world, task) else world.lines[document]
        yield f"late write at home: commit {document}"
        world.unlock(document, owner)
        world.fence(run)
        return _point_after(world, run, document, new)
    return True


def _to_send(world: World, document: str, copied: CopyTask | None) -> tuple[CopyTask | None, Line]:
    """What to copy; without that, the line as it is to be."""
    line = world.lines[document]
    found = world.head(line.source) if line.source in world.objects else None
    if found is None or found.etag == line.source_etag:
        return None, line._replace(error=None)
    if not is_pointed(world, document, line.target) or world.etag(line.target) != line.target_etag:
        return None, line._replace(error="Conflict", reported=found.etag)
    if copied and copied.source_etag == found.etag and world.etag(copied.target) == found.etag:
        return None, _sent_line(world, copied)
    free = _free_places(world, document, found)
    if not free:
        return None, line._replace(error="target_taken")
    return CopyTask(document, line.source, found.etag, found.size, "STANDARD", free[0]), line


def _sent(world: World, task: CopyTask) -> CopyTask | None:
    """The task if it is done now, or was done by a run that could not write it down."""
    etag = world.etag(task.target) or world.copy(task)
    return task if etag == task.source_etag else None


def _sent_line(world: World, task: CopyTask) -> Line:
    return line_of(task, DocumentState.FLIPPED, task.source_etag)._replace(flipped_on=world.day)


def _point_after(world: World, run: int, document: str, new: Line) -> bool:
    """Commit what became of it; return whether it is left for another run."""
    old = world.lines[document]
    if document in world.rows:
        if new.target != old.target:
            world.point(document, new.target, new.target_etag)
        world.record(run, document, new)
    return new.error == "target_taken" or new is old


def _free_places(world: World, document: str, found: ListedObject) -> list[ObjectRef]:
    """Of the two places those that hold nothing, or what a run copied there that could not write it down."""
    places = returned(document), returned(document, found.etag)
    return [ref for ref in places if ref not in world.objects or _is_copy(world, found, world.head(ref))]


def _is_copy(world: World, found: ListedObject, there: ListedObject) -> bool:
    return is_adoptable(found, there) or world.is_proven(found, there)


def returned(document: str, etag: str | None = None) -> ObjectRef:
    """The key of the shared bucket that a document returns to; with an ETag where the plain one is taken."""
    return ObjectRef(SHARED, returned_key(SLUG, document, document, etag=etag))
