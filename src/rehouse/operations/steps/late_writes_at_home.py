"""Late writes at home: objects written there after their documents had returned, by a presigned upload or a cached home.

rehouse copies such an object to the shared bucket, to a key that holds nothing. If the document was written at its present place
as well, rehouse keeps both versions and a person decides. As with late writes, a guarded copy is made without a lock. Then the row
is locked, both objects are checked again, and the row is pointed to the copy. A copy that is not used stays for the next run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from rehouse.core.comparing import Finding
from rehouse.core.copies import Places, Reason, is_adoptable
from rehouse.core.errors import Refused, TryAgain
from rehouse.core.late_writes import (
    CONFLICT,
    ReturnedDocument,
    Verdict,
    conflict_message_at_home,
    decide_late_write_at_home,
)
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.naming import returned_key
from rehouse.core.unrecorded_copies import Doubt, doubt_about
from rehouse.ledger.late_writes import LateWriteRecords
from rehouse.ledger.returns import Returns
from rehouse.operations.buckets.homes import is_home_gone
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.guarded_copies import copy_one, find_out_guard, is_guarded
from rehouse.operations.steps.late_rounds import (
    CHANGED_AGAIN,
    Heads,
    LateDocument,
    LateWrites,
    record_fault,
    settle_in_passes,
    settle_in_rounds,
    sum_up,
)
from rehouse.operations.steps.proofs import Ends
from rehouse.operations.steps.returns import copy_problem
from rehouse.operations.steps.unrecorded_copies import Doubtful, compare_doubtful, complete_tags

SHOWN = 20


def require_no_late_writes(services: Services, migration: Migration, slug: str) -> None:
    """Settle late writes at home after a rollback, before a migration writes there again.

    Raises Refused if a document was written at both ends, TryAgain if one could not be settled, because a copy of the migration
    would overwrite it.
    """
    returns = services.ledger.of(migration, Returns)
    if not returns.counts().returned or is_home_gone(services, migration):
        return
    survey.list_home(services, migration.home_bucket)
    sent = send_late_writes(services, migration, slug)
    conflicts = [each.document_id for each in returns.list_outstanding() if each.code == CONFLICT]
    if conflicts:
        raise Refused(
            f"{slug}: documents were written at both ends after the rollback: {', '.join(conflicts[:SHOWN])}",
            hint=f"compare the two objects; `rehouse accept {slug} DOCUMENT --reason …` keeps the one that the row points to",
            subject=slug,
        )
    if sent.left:
        raise TryAgain(
            f"{slug}: {sent.left} documents were written at home after the rollback and are not in the shared bucket yet",
            hint=f"run the same command again; `rehouse status {slug} --errors` shows the reasons",
            subject=slug,
        )


def send_late_writes(services: Services, migration: Migration, slug: str) -> LateWrites:
    """Settle every late write in this run's listing of the home; return how many were copied, are conflicts, are left."""
    after = _After(
        services, services.ledger.of(migration, Returns), services.ledger.of(migration, LateWriteRecords), slug
    )
    items = [_Sending(returned.document_id, returned=returned) for returned in after.returns.late_writes()]
    settled, waiting = settle_in_passes(services, items, partial(_settle, after))
    return sum_up([*settled, *(record_fault(after.lines, item.document_id, item.delay) for item in waiting)])


@dataclass(kw_only=True)
class _Sending(LateDocument):
    """A document whose object at home may have been written since. `copied`: the copy of that object at its free place."""

    returned: ReturnedDocument


class _RowAndObjects(NamedTuple):
    """The document, its row, its object at home and the object to which it returned. `contested` is as it is after the check.

    `is_copied`: this run's copy of the object at home is still there.
    """

    returned: ReturnedDocument
    row: ObjectRef | None
    at_home: ListedObject | None
    there: ListedObject | None
    is_copied: bool

    @property
    def verdict(self) -> Verdict:
        """What to do."""
        return decide_late_write_at_home(self.returned, self.row, self.at_home, self.there, is_copied=self.is_copied)


@dataclass
class _After:
    """What is needed to settle one tenant's late writes at home."""

    services: Services
    returns: Returns
    lines: LateWriteRecords
    slug: str


def _settle(after: _After, item: _Sending) -> LateWrites:
    prepare, write = partial(_prepare, after, item), partial(_write, after, item)
    return settle_in_rounds(
        after.services, after.lines, item, prepare=prepare, write=write, refs=lambda: _objects_of(item)
    )


def _prepare(after: _After, item: _Sending) -> Fault | None:
    """Copy the object to a free place without a lock, if it must be copied; return what prevents it."""
    row = after.lines.row(item.document_id)
    found, faults = survey.head_all(after.services, _objects_of(item))
    if faults:
        return next(iter(faults.values()))
    seen = _look_at_row_and_objects(after, item, row, found)
    if seen.at_home is None or seen.verdict is not Verdict.COPY:
        return None
    if not is_guarded(after.services, _task(item.returned, seen.at_home, item.returned.target)):
        return None
    return item.keep(_send(after, item.returned, seen.at_home, only_guarded=True))


def _objects_of(item: _Sending) -> set[ObjectRef]:
    copies = {item.copied.task.target} if item.copied else set()
    return {item.returned.source, item.returned.target} | copies


def _look_at_row_and_objects(after: _After, item: _Sending, row: ObjectRef | None, found: Heads) -> _RowAndObjects:
    returned, copied = item.returned, item.copied
    if after.returns.find_pointed_at({returned.source}):  # asked after the check
        returned = replace(returned, contested=True)
    at_home, copy = found[returned.source], found[copied.task.target] if copied else None
    is_copied = bool(
        copied and at_home and copy and copied.task.source_etag == at_home.etag and copy.etag == copied.etag
    )
    return _RowAndObjects(returned, row, at_home, found[returned.target], is_copied)


def _write(after: _After, item: _Sending, row: ObjectRef | None, found: Heads) -> LateWrites | Fault:
    """Write the verdict down, the row being locked; a copy that is not guarded is made here."""
    seen = _look_at_row_and_objects(after, item, row, found)
    verdict, returned = seen.verdict, seen.returned
    if seen.at_home is None or verdict is Verdict.NOTHING:
        after.lines.clear(item.document_id)
        return LateWrites()
    if verdict is Verdict.CONFLICT:
        fault = Fault(CONFLICT, conflict_message_at_home(returned, row, seen.at_home))
        return LateWrites(conflicts=int(after.lines.fail(item.document_id, fault, seen.at_home.etag)))
    if verdict is Verdict.RECORD and item.copied:
        outcome = item.copied
    elif is_guarded(after.services, _task(returned, seen.at_home, returned.target)):
        return CHANGED_AGAIN
    else:
        outcome = _send(after, returned, seen.at_home)
    return outcome.fault or after.returns.record_late_write(outcome) or LateWrites(recopied=1)


def _task(returned: ReturnedDocument, at_home: ListedObject, target: ObjectRef) -> CopyTask:
    return CopyTask(returned.document_id, returned.source, at_home.etag, at_home.size, at_home.storage_class, target)


def _send(
    after: _After, returned: ReturnedDocument, at_home: ListedObject, *, only_guarded: bool = False
) -> CopyOutcome:
    """Copy the object to a key that holds nothing, and check the copy; or adopt the copy of a run that was killed."""
    services = after.services
    target, there, taken = _free_place(services, returned, at_home, after.slug)
    task = replace(_task(returned, at_home, target or returned.target), only_guarded=only_guarded)
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
    services: Services, returned: ReturnedDocument, at_home: ListedObject, slug: str
) -> tuple[ObjectRef | None, ListedObject | None, Fault | None]:
    """Return a place that holds nothing, or the place with the copy of a killed run and that copy; else a fault."""
    places: Places = services.places(returned.source.bucket)
    longest = places.max_key_characters
    for etag in (None, at_home.etag):
        key = returned_key(slug, returned.document_id, returned.name, etag=etag, max_characters=longest)
        place = ObjectRef(places.shared[0], key)
        found, faults = survey.head_all(services, {place})
        if faults:
            return None, None, faults[place]
        there = found[place]
        if there is None or is_adoptable(at_home, there):
            return place, there, None
        is_copy, fault = _is_unrecorded_copy(services, returned, at_home, place, there)
        if is_copy or fault:
            return (None, None, fault) if fault else (place, there, None)
    return None, None, Fault(Reason.TARGET_TAKEN, f"something else is at {place.key!r} in {place.bucket}")


def _is_unrecorded_copy(
    services: Services, returned: ReturnedDocument, at_home: ListedObject, place: ObjectRef, there: ListedObject
) -> tuple[bool, Fault | None]:
    """Return whether a comparison shows that the object is a finished copy, or the fault if S3 gave no answer."""
    doubt = doubt_about(at_home, there)
    if doubt is Doubt.NONE:
        return False, None
    ends = Ends(returned.document_id, returned.source, at_home.etag, place, there.etag)
    comparison = compare_doubtful(services, [Doubtful(ends, doubt)])[returned.document_id]
    if comparison.finding is not Finding.SAME:
        return False, comparison.fault
    fault = complete_tags(services, ends)
    return fault is None, fault
