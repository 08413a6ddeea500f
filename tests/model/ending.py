"""`finish` as steps: sweep, prove, release, then remove what nobody can need any more, and look once more."""

from __future__ import annotations

from dataclasses import replace

from tests.model.forward import sweep
from tests.model.late import LISTED, Steps, is_pointed
from tests.model.world import HOME, SHARED, TENANT, Clause, Line, World

from rehouse.core.lifecycle import DocumentState, Event, Phase, is_at_least
from rehouse.core.model import CopyTask
from rehouse.core.removals import FlippedDocument, Verdict, judge


def finish(world: World) -> Steps:
    """Remove the sources that are due; run again, it goes on."""
    yield "finish: begin a run"
    if not is_at_least(world.phase, Phase.CUT_OVER):
        return
    waited_for = _waited_for(world)
    run = world.begin()
    yield from sweep(world, run)
    yield "list the home"
    home = world.listed(HOME)
    waited_for = waited_for if not world.on(Clause.GRACE_AFTER_SWEEP) else _waited_for(world)
    yield "choose what may go: ask the rows"
    due = [document for document in world.lines if _may_go(world, document, home, waited_for)]
    is_over = all(_is_over(world, document) for document in world.lines)
    if (due or is_over) and world.phase is Phase.CUT_OVER and world.on(Clause.RELEASED_FIRST):
        yield "release the sources and commit"
        world.advance(run, Event.SOURCES_RELEASED)
    while due:
        yield from _remove(world, run, due.pop())
    if world.on(Clause.ROWS_ASKED_AFTER):
        yield from _put_back(world, run)
    yield "end the run"
    if world.phase is Phase.RELEASED and all(_is_over(world, document) for document in world.lines):
        world.advance(run, Event.SOURCES_REMOVED)


def _may_go(world: World, document: str, home: LISTED, waited_for: frozenset[str]) -> bool:
    line, row = world.lines[document], world.rows.get(document)
    if line.target.bucket != HOME or line.state not in (DocumentState.FLIPPED, DocumentState.REMOVING):
        return False
    is_needed = any(each.at == line.source for each in world.rows.values()) or document in waited_for
    found = home.get(line.target)
    if found and not world.on(Clause.HOME_PROVEN):
        found = replace(found, etag=line.target_etag or "")
    flipped = FlippedDocument(
        document,
        line.source,
        line.source_etag,
        1,
        line.target,
        line.target_etag,
        line.error if row and world.on(Clause.ERRORS_STAY) else None,
        is_old_enough=line.state is DocumentState.REMOVING or _is_old(world, line),
        points_to_target=is_pointed(world, document, line.target),
        row_etag=row.etag if row else None,
        is_pointed_at=is_needed and world.on(Clause.ROWS_ASKED_FIRST),
        home=found,
    )
    return judge(flipped, (SHARED,)) is Verdict.MAY_GO


def _waited_for(world: World) -> frozenset[str]:
    """Documents whose source another one has as well that was not flipped yet, or less than the grace ago."""
    waiting = (DocumentState.PLANNED, DocumentState.COPIED, DocumentState.QUARANTINED)
    young = {
        document: line.source
        for document, line in world.lines.items()
        if line.state in waiting or (line.state is DocumentState.FLIPPED and not _is_old(world, line))
    }
    return frozenset(
        document
        for document, line in world.lines.items()
        if any(other != document and source == line.source for other, source in young.items())
        and world.on(Clause.GRACE_OF_EVERY_LINE)
    )


def _is_old(world: World, line: Line) -> bool:
    if world.after_zero or not world.on(Clause.GRACE) or line.flipped_on is None:
        return True
    return line.flipped_on < world.day


def _is_needed(world: World, line: Line) -> bool:
    return any(row.at == line.source for row in world.rows.values())


def _remove(world: World, run: int, document: str) -> Steps:
    yield f"{document} is removing: commit"
    line = world.lines[document]
    world.record(run, document, line._replace(state=DocumentState.REMOVING))
    now = line.source_etag
    if world.on(Clause.HEAD_FIRST):
        yield f"look at the source of {document}"
        now = world.etag(line.source)
    is_gone = now is None
    if now == line.source_etag:
        yield f"delete the source of {document}"
        is_gone = world.delete(line.source, line.source_etag)
    yield f"record what became of the source of {document}"
    changed = DocumentState.FLIPPED if document in world.rows else DocumentState.SUPERSEDED
    state = DocumentState.REMOVED if is_gone else changed
    world.record(run, document, world.lines[document]._replace(state=state))


def _put_back(world: World, run: int) -> Steps:
    yield "look for rows on removed keys"
    removed = [document for document, line in world.lines.items() if line.state is DocumentState.REMOVED]
    found = [each for each in removed if _is_needed(world, world.lines[each])]
    while found:
        document = found.pop()
        line = world.lines[document]
        yield f"look at the home object of {document}"
        etag = world.etag(line.target)
        yield f"put the source of {document} back"
        if etag is None or world.etag(line.source) is not None:
            continue
        world.copy(CopyTask(document, line.target, etag, 1, "STANDARD", line.source))
        yield f"record that the source of {document} is back"
        back = line._replace(state=DocumentState.FLIPPED, source_etag=etag, flipped_on=world.day)
        world.record(run, document, back)


def _is_over(world: World, document: str) -> bool:
    line, row = world.lines[document], world.rows.get(document)
    is_outside = row is not None and row.tenant == TENANT and row.bucket != HOME
    is_back = line.target.bucket == SHARED and line.state is DocumentState.FLIPPED
    return not is_outside and (is_back or line.state in (DocumentState.REMOVED, DocumentState.SUPERSEDED))
