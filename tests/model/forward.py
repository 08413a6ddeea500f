"""`migrate` as steps, each one transaction or one request. What is decided is decided by core.planning."""

from __future__ import annotations

from datetime import timedelta

from tests.model.late import LISTED, Steps, is_pointed, late_writes, late_writes_at_home, line_of
from tests.model.world import BEGINNING, HOME, SHARED, TENANT, Clause, Line, World

from rehouse.core.copies import Decision, Standing, SurveyedDocument, decide
from rehouse.core.lifecycle import DocumentState, Event, Phase, is_at_least
from rehouse.core.model import CopyTask, Document

ROUNDS = 2


def migrate(world: World) -> Steps:
    """A run from the beginning, or a sweep."""
    yield "migrate: begin a run"
    run = world.begin()
    if world.phase is Phase.ROLLED_BACK:
        if world.on(Clause.CAUGHT_UP):
            yield "list the home that was left"
            is_left = yield from late_writes_at_home(world, run, world.listed(HOME))
            if is_left or any(line.error == "Conflict" for line in world.lines.values()):
                return
        yield "give up what was not returned, plan again and commit"
        world.advance(run, Event.PLANNED_AGAIN)
        _give_up(world, run)
    if world.phase is Phase.PLANNED:
        world.advance(run, Event.BUCKET_READY)
    yield from sweep(world, run)


def _give_up(world: World, run: int) -> None:
    """Lines of a rollback that was interrupted: those that were ready lead home again, nobody waits for the others."""
    waiting = (DocumentState.PLANNED, DocumentState.COPIED, DocumentState.QUARANTINED)
    for document, line in list(world.lines.items()) if world.on(Clause.RETURNS_GIVEN_UP) else []:
        if line.source.bucket != HOME or line.state not in waiting:
            continue
        leads_back = line.state is DocumentState.COPIED or (not line.was_copied and line.target_etag is not None)
        if leads_back and is_pointed(world, document, line.source):
            is_sure = line.target_etag == line.source_etag or not world.on(Clause.DOUBTED_WHEN_GIVEN_UP)
            ends = line.target, line.target_etag if is_sure else None, line.source, line.source_etag
            world.record(run, document, Line(DocumentState.FLIPPED, *ends, run, flipped_on=world.day))
        else:
            world.record(run, document, line._replace(state=DocumentState.SUPERSEDED))


def sweep(world: World, run: int) -> Steps:
    """List, look for late writes, then copy, verify and flip until a round finds nothing."""
    yield "list the shared bucket"
    shared = world.listed(SHARED)
    yield "list the home"
    home = world.listed(HOME)
    if is_at_least(world.phase, Phase.CUT_OVER):
        yield from late_writes(world, run, shared)
    number = 0
    while number < ROUNDS:
        number += 1
        was_live = is_at_least(world.phase, Phase.CUT_OVER)
        before = world.lines.copy()
        yield from _round(world, run, shared, home)
        if was_live and before == world.lines:
            break


def _round(world: World, run: int, shared: LISTED, home: LISTED) -> Steps:
    if world.phase in (Phase.COPIED, Phase.VERIFIED):
        world.advance(run, Event.CHANGES_FOUND)
    yield from _copy(world, run, shared, home)
    if world.phase is Phase.PROVISIONED:
        world.advance(run, Event.ALL_COPIED)
    yield from _verify(world, run)
    if world.phase is Phase.COPIED:
        world.advance(run, Event.ALL_MATCHED)
    if world.on(Clause.HOME_BEFORE_FLIPS):
        yield from _switch_home(world, run)
    yield from _flip(world, run)
    if not world.on(Clause.HOME_BEFORE_FLIPS):
        yield from _switch_home(world, run)


def _switch_home(world: World, run: int) -> Steps:
    if world.phase is Phase.VERIFIED:
        yield "switch the home"
        world.advance(run, Event.HOME_SWITCHED)
        world.home, world.was_live = HOME, True


def _decide(world: World, run: int, row: Document, shared: LISTED, home: LISTED, *, is_look: bool) -> Decision:
    source, target = world.places().source_of(row), world.places().target_of(row, world.recorded(row.id))
    found = shared.get(source) or (world.head(source) if source in world.objects else None)
    contested = any(each.at == source and each.tenant != TENANT for each in world.rows.values())
    line = world.lines.get(row.id)
    there = home.get(target)
    seen = SurveyedDocument(
        row,
        found,
        there,
        world.recorded(row.id),
        contested=contested,
        recorded_now=line is not None and line.run == run and not is_look,
        is_proven=found is not None and there is not None and world.is_proven(found, there),
    )
    return decide(seen, world.places(), now=BEGINNING, upload_window=timedelta())


def _copy(world: World, run: int, shared: LISTED, home: LISTED) -> Steps:
    yield "read the page and decide"
    page = [world.document(document) for document, row in world.rows.items() if row.tenant == TENANT]
    tasks = [(row, task) for row in page if (task := _decided(world, run, row, shared, home))]
    while tasks:
        row, task = tasks.pop()
        yield f"copy {row.id}"
        etag = world.copy(task)
        if etag is None:
            yield f"look again at {row.id}"
            ends = {ref: world.head(ref) for ref in (task.source, task.target) if ref in world.objects}
            if world.on(Clause.FENCED_LOOK):
                yield "is the migration still this run's?"
                world.fence(run)
            again = _decided(world, run, row, ends, ends, is_look=True)
            if again is None:
                continue
            yield f"copy {row.id} again"
            task, etag = again, world.copy(again)
        yield f"record the copy of {row.id}"
        state = DocumentState.COPIED if etag else DocumentState.PLANNED
        world.record(run, row.id, line_of(task, state, etag))


def _decided(
    world: World, run: int, row: Document, shared: LISTED, home: LISTED, *, is_look: bool = False
) -> CopyTask | None:
    """What to copy; what needs no request is written down."""
    decision = _decide(world, run, row, shared, home, is_look=is_look)
    task = decision.task
    if decision.standing is Standing.TO_COPY:
        return task
    if decision.standing is Standing.ADOPT and task:
        world.record(run, row.id, line_of(task, DocumentState.COPIED, task.replaces_etag))
    elif decision.standing is Standing.QUARANTINED:
        source, target = world.places().source_of(row), world.places().target_of(row, world.recorded(row.id))
        world.record(run, row.id, Line(DocumentState.QUARANTINED, source, None, target, None, run))
    return None


def _verify(world: World, run: int) -> Steps:
    waiting = [document for document, line in world.lines.items() if line.state is DocumentState.COPIED]
    if not waiting:
        return
    yield "verify: list the home and drop what does not hold"
    world.fence(run)
    for document in waiting:
        line, found = world.lines[document], world.etag(world.lines[document].target)
        if found != line.target_etag:
            etag = line.target_etag if world.on(Clause.DROPPED_IS_NOT_OURS) else found
            world.record(run, document, line._replace(state=DocumentState.PLANNED, target_etag=etag))


def _flip(world: World, run: int) -> Steps:
    for_flip = [document for document, line in world.lines.items() if line.state is DocumentState.COPIED]
    while for_flip:
        yield from flip_one(world, run, for_flip.pop(), Clause.LOOK_UNDER_LOCK)
    yield "supersede copies whose rows moved or went"
    world.fence(run)
    for document, line in list(world.lines.items()):
        waits = line.state in (DocumentState.COPIED, DocumentState.PLANNED, DocumentState.QUARANTINED)
        if waits and not is_pointed(world, document, line.source):
            world.record(run, document, line._replace(state=DocumentState.SUPERSEDED))


def flip_one(world: World, run: int, document: str, look: Clause) -> Steps:
    """Lock the row, look at the source once more, flip, commit. Both ways use it."""
    owner, line = f"run {run}", world.lines[document]
    yield f"lock the row of {document}"
    world.fence(run)
    row = world.rows.get(document)
    is_ours = row is not None and (row.tenant == TENANT or not world.on(Clause.TENANT_COMPARED))
    is_there = row is not None and (row.at == line.source or not world.on(Clause.POINTER_COMPARED))
    if not (is_ours and is_there and world.lock(document, owner)):
        return
    if world.on(look):
        yield f"look at the source of {document} once more"
        now = world.etag(line.source)
    else:
        now = line.source_etag
    others = {each.at for other, each in world.rows.items() if other != document}
    if line.target.bucket == SHARED and line.target in others and world.on(Clause.RETURN_NOT_TO_ANOTHER):
        yield f"look at where {document} returns to"
        now = now if world.etag(line.target) == line.target_etag else None
    yield f"flip {document} and commit"
    world.unlock(document, owner)
    world.fence(run)
    if document not in world.rows:
        return
    if now == line.source_etag:
        world.point(document, line.target, line.target_etag)
        world.record(run, document, line._replace(state=DocumentState.FLIPPED, flipped_on=world.day, error=None))
    else:
        world.record(run, document, line._replace(state=DocumentState.PLANNED))
