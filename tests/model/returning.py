"""`rollback` as steps: the same protocol with the buckets exchanged."""

from __future__ import annotations

from dataclasses import replace

from tests.model.forward import flip_one
from tests.model.late import LISTED, SLUG, Steps, late_writes, late_writes_at_home, line_of, may_be_anothers, returned
from tests.model.world import HOME, PLACES, SHARED, TENANT, Clause, Line, World

from rehouse.core.lifecycle import DocumentState, Event, Phase, is_at_least
from rehouse.core.model import CopyTask, ListedObject
from rehouse.core.returns import DocumentAtHome, Returning, decide_return, way_back

ROUNDS = 2


def rollback(world: World) -> Steps:
    """The home first, then every row that is still there."""
    yield "rollback: begin a run"
    if is_at_least(world.phase, Phase.RELEASED) or world.run == 0:
        return
    run = world.begin()
    yield "list the shared bucket"
    shared = world.listed(SHARED)
    if world.phase is Phase.CUT_OVER:
        yield from late_writes(world, run, shared)
    if world.on(Clause.HOME_RETURNED_FIRST):
        yield from _return_home(world, run)
    number = 0
    while number < ROUNDS:
        number += 1
        before = world.lines.copy()
        yield from _round(world, run, shared)
        if before == world.lines:
            break
    if not world.on(Clause.HOME_RETURNED_FIRST):
        yield from _return_home(world, run)


def _return_home(world: World, run: int) -> Steps:
    if world.phase is Phase.ROLLED_BACK:
        return
    yield "return the home"
    world.advance(run, Event.HOME_RETURNED)
    world.home = None
    for document, line in list(world.lines.items()):
        waits = line.state in (DocumentState.PLANNED, DocumentState.COPIED, DocumentState.QUARANTINED)
        if waits and line.target.bucket == HOME:
            world.record(run, document, line._replace(state=DocumentState.SUPERSEDED))


def _round(world: World, run: int, shared: LISTED) -> Steps:
    yield "list the home"
    home = world.listed(HOME)
    yield from late_writes_at_home(world, run, home)
    yield "read the page of rows at home and decide"
    world.fence(run)
    tasks = _tasks(world, run, home, shared)
    while tasks:
        task = tasks.pop()
        yield f"copy {task.document_id} back"
        etag = world.copy(task, is_guarded=world.on(Clause.RETURNED_KEY_FREE))
        yield f"record the copy of {task.document_id}"
        state = DocumentState.COPIED if etag else DocumentState.PLANNED
        world.record(run, task.document_id, line_of(task, state, etag))
    waiting = [document for document, line in world.lines.items() if _waits(line)]
    while waiting:
        yield from flip_one(world, run, waiting.pop(), Clause.RETURN_LOOK_UNDER_LOCK)


def _waits(line: Line) -> bool:
    return line.state is DocumentState.COPIED and line.target.bucket == SHARED


def _tasks(world: World, run: int, home: LISTED, shared: LISTED) -> list[CopyTask]:
    tasks = []
    for document, row in world.rows.items():
        if row.tenant != TENANT or row.bucket != HOME or row.at not in home:
            continue
        seen = _seen(world, document, home[row.at], shared)
        decision = decide_return(seen, PLACES[True], SLUG, is_adopted=False)
        task = decision.task
        if decision.standing is Returning.TO_COPY and task:
            tasks.append(task)
        elif decision.standing is Returning.CONFLICT:
            world.record(run, document, world.lines[document]._replace(error="Conflict"))
        elif decision.standing in (Returning.OLD_POINTER, Returning.ADOPT) and task:
            line = line_of(task, DocumentState.COPIED, task.replaces_etag)._replace(was_copied=False)
            world.record(run, document, line)
    return tasks


def _seen(world: World, document: str, found: ListedObject, shared: LISTED) -> DocumentAtHome:
    """What a rollback knows of a document, or would know if it forgot a clause."""
    line, recorded = world.lines.get(document), world.recorded(document)
    if line and recorded and not world.on(Clause.HOME_AS_COPIED):
        is_forward = line.target.bucket == HOME
        recorded = replace(recorded, **{"target_etag" if is_forward else "source_etag": found.etag})
    if line and line.target.bucket == SHARED and not world.on(Clause.LINE_BACK_STANDS):
        recorded = None
    places = returned(document), returned(document, found.etag)
    first, second = (world.head(ref) if ref in world.objects else None for ref in places)
    if not world.on(Clause.RETURNED_KEY_FREE):
        first = second = None
    seen = DocumentAtHome(
        world.document(document),
        found,
        recorded,
        was_copied=line is not None and line.was_copied and line.target.bucket == SHARED,
        error_code=line.error if line else None,
        returned=(first, second),
        proven=tuple(there is not None and world.is_proven(found, there) for there in (first, second)),
    )
    back = way_back(seen, PLACES[True])
    if back is None:
        return seen
    there = shared.get(back.pointer)
    if there is None or (found.etag != back.home_etag and world.on(Clause.OLD_ONE_LOOKED_AT)):
        there = world.head(back.pointer) if back.pointer in world.objects else None
    is_anothers = may_be_anothers(world, document, back.pointer) and world.on(Clause.RETURN_NOT_TO_ANOTHER)
    if is_anothers:
        there = world.head(back.pointer) if back.pointer in world.objects else None
    return replace(seen, there=there, contested=is_anothers)
