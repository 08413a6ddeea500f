"""What was written at home after its document had gone back: a presigned upload of before, a home that was still cached.

Such a write is sent after the document, to a key that holds nothing; if the document was written where it is now as well,
both versions are kept and a person decides. As with late writes, the copy is made without a lock where it is guarded; then the row
is locked, the objects are looked at once more, and the row is pointed to the copy. A copy that is not used stays for the next run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from rehouse.core.copies import Places, Reason, is_adoptable
from rehouse.core.errors import Refused, TryAgain
from rehouse.core.late_writes import CONFLICT, Verdict, named
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.naming import returned_key
from rehouse.ledger.late_writes import LateLines
from rehouse.ledger.returns import Returns, WrittenAfter
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.guarded_copies import NOT_OFFERED, copy_one, find_out_guard, is_guarded
from rehouse.operations.steps.late_rounds import (
    CHANGED_AGAIN,
    Late,
    LateWrites,
    look_in_time,
    settle_in_passes,
    settle_in_rounds,
    sum_up,
)
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
    after = _After(services, services.ledger.of(migration, Returns), services.ledger.of(migration, LateLines), slug)
    items = [_Sending(written.document_id, written=written) for written in after.returns.written_after()]
    settled, waiting = settle_in_passes(services, items, partial(_settle, after))
    return sum_up([*settled, *(_record_fault(after.lines, item, item.delay) for item in waiting)])


@dataclass(kw_only=True)
class _Sending(Late):
    """A document whose object at home may have been written since; `copied` is that object at its free place."""

    written: WrittenAfter


class _Seen(NamedTuple):
    """The document's row, its object at home and the one where it was returned to; `copy`: what is where this run copied to."""

    row: ObjectRef | None
    at_home: ListedObject | None
    there: ListedObject | None
    copy: ListedObject | None
    is_anothers: bool


@dataclass
class _After:
    """What is needed to send one tenant's documents after."""

    services: Services
    returns: Returns
    lines: LateLines
    slug: str


def _record_fault(lines: LateLines, item: _Sending, fault: Fault) -> LateWrites:
    with lines.fenced():
        lines.fail(item.document_id, fault)
    return LateWrites(left=1)


def _settle(after: _After, item: _Sending) -> LateWrites:
    locked = partial(_settle_locked, after, item)
    settled = settle_in_rounds(partial(_prepare, after, item), lambda: after.services.ledger.patiently(locked))
    return settled if isinstance(settled, LateWrites) else _record_fault(after.lines, item, settled)


def _prepare(after: _After, item: _Sending) -> Fault | None:
    """Copy the object to a free place, without any lock, if it is to be sent after; return what is in the way."""
    row = after.lines.row(item.document_id)
    found, faults = survey.head_all(after.services, _objects_of(item))
    if faults:
        return next(iter(faults.values()))
    seen = _seen(after, item, row, found)
    if seen.at_home is None or _verdict(item, seen) is not Verdict.COPY:
        return None
    if not is_guarded(after.services, _task(item.written, seen.at_home, item.written.target)):
        return None
    outcome = _send(after, item.written, seen.at_home, only_guarded=True)
    if outcome.fault is None:
        item.copied = outcome
        return None
    return None if outcome.fault.code == NOT_OFFERED else outcome.fault  # not offered: it is copied under the lock


def _settle_locked(after: _After, item: _Sending) -> LateWrites | Fault:
    """Lock the row, look once more and write down what is so, or return why that takes another round."""
    after.services.bulk.await_room()
    with after.lines.locked(item.document_id) as row:
        found = look_in_time(after.services, _objects_of(item))
        return found if isinstance(found, Fault) else _write(after, item, _seen(after, item, row, found))


def _objects_of(item: _Sending) -> set[ObjectRef]:
    copies = {item.copied.task.target} if item.copied else set()
    return {item.written.source, item.written.target} | copies


def _seen(
    after: _After, item: _Sending, row: ObjectRef | None, found: Mapping[ObjectRef, ListedObject | None]
) -> _Seen:
    written, copied = item.written, item.copied
    is_anothers = written.contested or bool(after.returns.pointed_at({written.source}))  # asked after the look
    copy = found[copied.task.target] if copied else None
    return _Seen(row, found[written.source], found[written.target], copy, is_anothers)


def _verdict(item: _Sending, seen: _Seen) -> Verdict:
    written, copied = item.written, item.copied
    is_deleted = seen.row is None and not written.given_away
    if is_deleted or seen.at_home is None or seen.at_home.etag == written.source_etag:
        return Verdict.NOTHING
    is_as_returned = seen.there is not None and seen.there.etag == written.target_etag
    if seen.is_anothers or seen.row != written.target or not is_as_returned:
        return Verdict.CONFLICT
    is_copied = copied is not None and copied.task.source_etag == seen.at_home.etag
    is_copy_there = copied is not None and seen.copy is not None and seen.copy.etag == copied.etag
    return Verdict.RECORD if is_copied and is_copy_there else Verdict.COPY


def _write(after: _After, item: _Sending, seen: _Seen) -> LateWrites | Fault:
    """Write the verdict down, the row being locked; a copy that is not guarded is made here."""
    verdict, written = _verdict(item, seen), item.written
    if seen.at_home is None or verdict is Verdict.NOTHING:
        after.lines.clear(item.document_id)
        return LateWrites()
    if verdict is Verdict.CONFLICT:
        fault = Fault(CONFLICT, _conflict(written, seen.row, seen.at_home, is_anothers=seen.is_anothers))
        return LateWrites(conflicts=int(after.lines.fail(item.document_id, fault, seen.at_home.etag)))
    if verdict is Verdict.RECORD and item.copied:
        outcome = item.copied
    elif is_guarded(after.services, _task(written, seen.at_home, written.target)):
        return CHANGED_AGAIN
    else:
        outcome = _send(after, written, seen.at_home)
    return outcome.fault or after.returns.sent_after(outcome) or LateWrites(recopied=1)


def _task(written: WrittenAfter, at_home: ListedObject, target: ObjectRef) -> CopyTask:
    return CopyTask(written.document_id, written.source, at_home.etag, at_home.size, at_home.storage_class, target)


def _send(after: _After, written: WrittenAfter, at_home: ListedObject, *, only_guarded: bool = False) -> CopyOutcome:
    """Copy the object to a key that holds nothing, and look at the copy; or adopt what a run copied there before it died."""
    services = after.services
    target, there, taken = _free_place(services, written, at_home, after.slug)
    task = replace(_task(written, at_home, target or written.target), only_guarded=only_guarded)
    if target is None:
        return CopyOutcome(task, fault=taken)
    outcome = CopyOutcome(task, etag=there.etag) if there else copy_one(services, task)
    if not (there or only_guarded):
        outcome = find_out_guard(services, outcome)
    if outcome.fault:
        return outcome
    found, faults = survey.head_all(services, {target})
    return replace(outcome, fault=faults.get(target) or copy_problem(outcome, found.get(target)))


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
