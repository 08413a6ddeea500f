"""What was written at home after its document had gone back: a presigned upload of before, a home that was still cached.

Such a write is sent after the document, to a key that holds nothing; if the document was written where it is now as well,
both versions are kept and a person decides. Each is settled in a transaction of its own that holds the document's row.
"""

from __future__ import annotations

import time
from functools import partial

from rehouse.core.copies import Places, Reason, is_adoptable
from rehouse.core.errors import Refused, TryAgain
from rehouse.core.late_writes import CONFLICT, named
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.naming import returned_key
from rehouse.ledger.late_writes import LateLines, RowIsBusy
from rehouse.ledger.returns import Returns, WrittenAfter
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.late_writes import BUSY, PASSES, PAUSE_SECONDS, LateWrites
from rehouse.operations.steps.returns import copy_problem

SHOWN = 20


def catch_up(services: Services, migration: Migration, slug: str) -> None:
    """Send what was written at home after a rollback, before a migration writes there again.

    Raises Refused while a document was written at both ends, TryAgain while one could not be sent on: the copy of the one
    would cover the other.
    """
    returns = services.ledger.of(migration, Returns)
    if not returns.counts().returned:
        return
    survey.list_home(services, migration.home_bucket)
    sent = send_after(services, migration, slug)
    conflicts = [each.document_id for each in returns.outstanding() if each.code == CONFLICT]
    if conflicts:
        raise Refused(
            f"{slug}: documents were written at both ends after the rollback: {', '.join(conflicts[:SHOWN])}",
            hint=f"compare the two; `rehouse accept {slug} DOCUMENT --reason …` keeps the one that the row points to",
        )
    if sent.left:
        raise TryAgain(
            f"{slug}: {sent.left} documents were written at home after the rollback and could not be sent on yet",
            hint=f"run the same command again; `rehouse status {slug} --errors` says what is in the way",
        )


def send_after(services: Services, migration: Migration, slug: str) -> LateWrites:
    """Settle every write that this run's listing of the home shows; return how many were sent, conflicts, and left."""
    returns, lines = services.ledger.of(migration, Returns), services.ledger.of(migration, LateLines)
    settled, waiting = [], returns.written_after()
    for _ in range(PASSES):
        busy = []
        for written in waiting:
            services.stop_here()
            services.keep_locks()
            try:
                settled.append(services.ledger.patiently(partial(_settle, services, returns, lines, written, slug)))
            except RowIsBusy:
                busy.append(written)
        waiting = busy
        if not waiting:
            break
        time.sleep(PAUSE_SECONDS)
    settled += [_failed(lines, written, BUSY) for written in waiting]
    sent, conflicts, left = (sum(column) for column in zip(*settled, LateWrites(), strict=True))
    return LateWrites(sent, conflicts, left)


def _failed(lines: LateLines, written: WrittenAfter, fault: Fault) -> LateWrites:
    with lines.fenced():
        lines.fail(written.document_id, fault)
    return LateWrites(left=1)


def _settle(services: Services, returns: Returns, lines: LateLines, written: WrittenAfter, slug: str) -> LateWrites:
    with lines.locked(written.document_id) as row:
        found, faults = survey.head_all(services, {written.source, written.target})
        at_home, there = found.get(written.source), found.get(written.target)
        if faults:
            lines.fail(written.document_id, next(iter(faults.values())))
            return LateWrites(left=1)
        is_deleted = row is None and not written.given_away
        if is_deleted or at_home is None or at_home.etag == written.source_etag:
            lines.clear(written.document_id)
            return LateWrites()
        is_anothers = written.contested or bool(returns.pointed_at({written.source}))
        if is_anothers or row != written.target or there is None or there.etag != written.target_etag:
            fault = Fault(CONFLICT, _conflict(written, row, at_home, is_anothers=is_anothers))
            return LateWrites(conflicts=int(lines.fail(written.document_id, fault, at_home.etag)))
        outcome = _sent(services, returns, written, at_home, slug)
        if outcome.fault:
            lines.fail(written.document_id, outcome.fault)
            return LateWrites(left=1)
        return LateWrites(recopied=1)


def _sent(services: Services, returns: Returns, written: WrittenAfter, at_home: ListedObject, slug: str) -> CopyOutcome:
    """Copy the object to a key that holds nothing and point the row there; the row is locked."""
    target, there, taken = _free_place(services, written, at_home, slug)
    task = CopyTask(
        written.document_id, written.source, at_home.etag, at_home.size, at_home.storage_class, target or written.target
    )
    if target is None:
        return CopyOutcome(task, fault=taken)
    outcome = CopyOutcome(task, etag=there.etag) if there else next(iter(services.engine.copy([task])), None)
    if outcome is None:
        services.stop_here()
        return CopyOutcome(task, fault=Fault("IncompleteReply", "S3 gave no answer to the copy"))
    if outcome.fault is None:
        found, faults = survey.head_all(services, {target})
        fault = faults.get(target) or copy_problem(outcome, found.get(target)) or returns.sent_after(outcome)
        if fault:
            return CopyOutcome(task, fault=fault)
    return outcome


def _free_place(
    services: Services, written: WrittenAfter, at_home: ListedObject, slug: str
) -> tuple[ObjectRef | None, ListedObject | None, Fault | None]:
    """Return a place that holds nothing, or the copy that a run made before it died, with that copy; else why there is none."""
    places: Places = services.places(written.source.bucket)
    longest = places.max_key_characters
    for etag in (None, at_home.etag):
        key = returned_key(slug, written.document_id, written.name, etag=etag, max_characters=longest)
        place = ObjectRef(places.shared[0], key)
        found, faults = survey.head_all(services, {place})
        if faults:
            return None, None, faults[place]
        there = found[place]
        if there is None or is_adoptable(at_home, there):
            return place, there, None
    return None, None, Fault(Reason.TARGET_TAKEN, f"something else is at {place.key!r} in {place.bucket}")


def _conflict(written: WrittenAfter, row: ObjectRef | None, at_home: ListedObject, *, is_anothers: bool) -> str:
    late = f"{named(written.source, at_home)} was written after its document had gone back"
    if is_anothers:
        return f"{late}, or is another document, put onto that key"
    if row is None:
        return f"{late}, and the document was given to another tenant"
    return f"{late}, and s3://{row.bucket}/{row.key} was written as well"
