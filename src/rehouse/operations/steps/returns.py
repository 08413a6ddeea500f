"""Prepare the return of a tenant's documents at home: decide, copy those without an old object, prove and record the copies.

This step does not change rows; documents that are recorded as copied are flipped afterwards, like every copy. In a shared bucket
rehouse writes only to keys that hold nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from rehouse.core.comparing import Finding
from rehouse.core.copies import Places
from rehouse.core.late_writes import CONFLICT
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.progress import Progress
from rehouse.core.returns import (
    DocumentAtHome,
    ReturnDecision,
    Returning,
    decide_return,
    place_of,
    returned_places,
    way_back,
)
from rehouse.core.unrecorded_copies import Doubt, doubt_about
from rehouse.ledger.copies import Line, line_of
from rehouse.ledger.late_writes import LateWriteRecords
from rehouse.ledger.returns import Returns
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.proofs import Ends
from rehouse.operations.steps.unrecorded_copies import Doubtful, compare_doubtful, complete_tags


@dataclass
class ReturnTally:
    """The counts of a pass over the documents at home; sizes in bytes."""

    standings: Counter[Returning] = field(default_factory=Counter)
    old_pointers: int = 0
    copied: int = 0
    bytes_copied: int = 0
    adopted: int = 0


class DecidedReturn(NamedTuple):
    """A document at home with its decision, or with S3's fault if none could be made."""

    seen: DocumentAtHome
    decision: ReturnDecision
    fault: Fault | None


@dataclass
class ReturnPass:
    """One pass over a tenant's documents at home. `is_adopted`: the home was the application's own."""

    services: Services
    migration: Migration
    slug: str
    is_adopted: bool
    places: Places
    total: int
    tally: ReturnTally = field(default_factory=ReturnTally)

    @property
    def returns(self) -> Returns:
        """The ledger's part of the pass."""
        return self.services.ledger.of(self.migration, Returns)


def decide_pages(run: ReturnPass) -> Iterator[list[DecidedReturn]]:
    """Yield every document at home with its decision, page by page. This alone changes nothing."""
    for page in run.returns.pages_at_home(run.services.settings.batch_size):
        run.services.stop_here()
        looked, faults = _look_at_old_objects(run, page)
        looked, more = _look_at_returned_objects(run, looked)
        made = [DecidedReturn(seen, _decide(run, seen), (faults | more).get(seen.document.id)) for seen in looked]
        run.tally.standings.update(each.decision.standing for each in made if not each.fault)
        yield made


def return_documents(run: ReturnPass) -> ReturnTally:
    """Record where every document at home will return, once its object is there; return the counts.

    Raises Interrupted if the run was stopped; everything finished is saved.
    """
    done = failed = 0
    for decided in decide_pages(run):
        page = [_complete(run, each) for each in decided]
        lines = [line for each in page for line in _lines(run, each)]
        outcomes = run.services.engine.copy(
            each.decision.task
            for each in page
            if each.decision.task and each.decision.standing is Returning.TO_COPY and not each.fault
        )
        lines += _verify_outcomes(run, list(outcomes))
        run.services.keep_locks()
        run.services.ledger.documents(run.migration).record(lines)
        _record_conflicts(run, page)
        done += len(page)
        failed += sum(line.code is not None for line in lines)
        run.services.report(
            Progress(
                run.slug,
                "return",
                done,
                run.total,
                bytes_copied=run.tally.bytes_copied,
                documents_failed=failed,
            )
        )
    run.services.stop_here()
    return run.tally


def _decide(run: ReturnPass, seen: DocumentAtHome) -> ReturnDecision:
    return decide_return(seen, run.places, run.slug, is_adopted=run.is_adopted)


def _complete(run: ReturnPass, each: DecidedReturn) -> DecidedReturn:
    """Complete the tags of a copy that is to be adopted."""
    task = each.decision.task
    if each.fault or each.decision.standing is not Returning.ADOPT or not task or not task.replaces_etag:
        return each
    ends = Ends(task.document_id, task.source, task.source_etag, task.target, task.replaces_etag)
    return each._replace(fault=complete_tags(run.services, ends))


def _look_at_old_objects(
    run: ReturnPass, page: Sequence[DocumentAtHome]
) -> tuple[list[DocumentAtHome], dict[str, Fault]]:
    """Send HEADs for the old objects that no listing showed, and again if both objects may have been written since.

    For old objects that changed, also find out whether another row points there, so that they may belong to another document.
    """
    undecided = [seen for seen in page if seen.error_code != CONFLICT]
    backs = {seen.document.id: back for seen in undecided if (back := way_back(seen, run.places))}
    others = run.returns.find_pointed_at({back.pointer for back in backs.values()})
    wanted = {
        seen.document.id: back.pointer
        for seen in undecided
        if (back := backs.get(seen.document.id))
        and (seen.there is None or back.pointer in others or (seen.found and seen.found.etag != back.home_etag))
    }
    found, faults = survey.head_all(run.services, set(wanted.values()))
    looked = [replace(seen, there=found.get(wanted[seen.document.id])) if seen.document.id in wanted else seen
              for seen in page]  # fmt: skip
    changed = {
        backs[seen.document.id].pointer
        for seen in looked
        if seen.document.id in backs and seen.there and seen.there.etag != backs[seen.document.id].etag
    }
    others |= run.returns.find_contested(changed) | run.returns.find_pointed_at(changed)
    return (
        [
            replace(seen, contested=seen.document.id in backs and backs[seen.document.id].pointer in others)
            for seen in looked
        ],
        {document_id: faults[ref] for document_id, ref in wanted.items() if ref in faults},
    )


def _look_at_returned_objects(
    run: ReturnPass, page: Sequence[DocumentAtHome]
) -> tuple[list[DocumentAtHome], dict[str, Fault]]:
    """Check the keys to which documents would be copied: the first key, then the second one if the first is taken."""
    looked = list(page)
    faults: dict[str, Fault] = {}
    for which in (0, 1):
        wanted = {
            seen.document.id: place
            for seen in looked
            if seen.document.id not in faults
            and (task := (decision := _decide(run, seen)).task)
            and decision.standing is Returning.TO_COPY
            and (place := returned_places(seen, run.places, run.slug)[which]) == task.target
        }
        found, failed = survey.head_all(run.services, set(wanted.values()))
        faults |= {document_id: failed[ref] for document_id, ref in wanted.items() if ref in failed}
        looked = [_set_returned(seen, which, found.get(wanted.get(seen.document.id, NOWHERE))) for seen in looked]
        looked, unproven = _mark_proven(run, looked, wanted, which)
        faults |= unproven
    return looked, faults


NOWHERE = ObjectRef("", "")


def _set_returned(seen: DocumentAtHome, which: int, there: ListedObject | None) -> DocumentAtHome:
    if there is None:
        return seen
    first, second = seen.returned
    return replace(seen, returned=(there, second) if which == 0 else (first, there))


def _mark_proven(
    run: ReturnPass, page: Sequence[DocumentAtHome], places: Mapping[str, ObjectRef], which: int
) -> tuple[list[DocumentAtHome], dict[str, Fault]]:
    """Mark those of the objects that a comparison shows to be finished copies; return the requests that failed as well."""
    doubtful = [
        Doubtful(
            Ends(seen.document.id, place_of(seen, run.places), seen.found.etag, places[seen.document.id], there.etag),
            doubt,
        )
        for seen in page
        if seen.document.id in places and seen.found and (there := seen.returned[which])
        if (doubt := doubt_about(seen.found, there, seen.recorded)) is not Doubt.NONE
    ]
    compared = compare_doubtful(run.services, doubtful)
    same = {document_id for document_id, each in compared.items() if each.finding is Finding.SAME}
    marked = [
        replace(seen, proven=(True, False) if which == 0 else (seen.proven[0], True))
        if seen.document.id in same
        else seen
        for seen in page
    ]
    return marked, {document_id: each.fault for document_id, each in compared.items() if each.fault}


def _lines(run: ReturnPass, each: DecidedReturn) -> Iterable[Line]:
    """Return the ledger's line for a document that needs no copy; none if nothing has changed."""
    standing, task = each.decision.standing, each.decision.task
    if each.fault:
        yield _line_left_at_home(run, each.seen, DocumentState.PLANNED, each.fault)
    elif standing in {Returning.OLD_POINTER, Returning.ADOPT} and task:
        if not _is_recorded(each.seen, task):
            run.tally.old_pointers += standing is Returning.OLD_POINTER
            run.tally.adopted += standing is Returning.ADOPT
        yield Line(
            replace(task, replaces_etag=None),
            DocumentState.COPIED,
            target_etag=task.replaces_etag,
            attempts=int(standing is Returning.ADOPT),
        )
    elif standing is Returning.QUARANTINED and each.decision.reason:
        fault = Fault(each.decision.reason.value, each.decision.detail)
        yield _line_left_at_home(run, each.seen, DocumentState.QUARANTINED, fault)
    elif standing is Returning.CONFLICT and each.seen.error_code != CONFLICT:
        yield _conflict_line(run, each.seen)


def _is_recorded(seen: DocumentAtHome, task: CopyTask) -> bool:
    """Return whether an earlier pass recorded the document already, because its row was locked then."""
    line = seen.recorded
    return line is not None and (line.state, line.source, line.target) == (
        DocumentState.COPIED,
        task.source,
        task.target,
    )


def _line_left_at_home(run: ReturnPass, seen: DocumentAtHome, state: DocumentState, fault: Fault) -> Line:
    """Return the line of a document that stays at home for now. It records where the document came from."""
    back = way_back(seen, run.places)
    found = seen.found
    task = CopyTask(
        seen.document.id,
        place_of(seen, run.places),
        back.home_etag if back else found.etag if found else "",
        found.size if found else 0,
        found.storage_class if found else "",
        back.pointer if back else returned_places(seen, run.places, run.slug)[0],
    )
    return Line(
        task, state, back.etag if back else None, code=fault.code, message=fault.message, request_id=fault.request_id
    )


def _conflict_line(run: ReturnPass, seen: DocumentAtHome) -> Line:
    """Return the line on which a conflict is recorded: the line of the migration."""
    back = way_back(seen, run.places)
    assert back
    found = seen.found
    task = CopyTask(
        seen.document.id, back.pointer, back.etag, found.size if found else 0, "STANDARD", place_of(seen, run.places)
    )
    return Line(task, DocumentState.FLIPPED, target_etag=back.home_etag)


def _record_conflicts(run: ReturnPass, page: Sequence[DecidedReturn]) -> None:
    lines = run.services.ledger.of(run.migration, LateWriteRecords)
    for each in page:
        is_new = each.decision.standing is Returning.CONFLICT and each.seen.error_code != CONFLICT
        if is_new and not each.fault and each.seen.there:
            with lines.fence():
                lines.fail(each.seen.document.id, Fault(CONFLICT, each.decision.detail), each.seen.there.etag)


def _verify_outcomes(run: ReturnPass, outcomes: Sequence[CopyOutcome]) -> list[Line]:
    """Check each copy at its target once more, and return their lines. A copy that is not right must be made again."""
    made = {outcome.task.target for outcome in outcomes if not outcome.fault}
    found, faults = survey.head_all(run.services, made) if made else ({}, {})
    return [line_of(_verify_outcome(run, outcome, found, faults)) for outcome in outcomes]


def _verify_outcome(
    run: ReturnPass,
    outcome: CopyOutcome,
    found: Mapping[ObjectRef, ListedObject | None],
    faults: Mapping[ObjectRef, Fault],
) -> CopyOutcome:
    task = outcome.task
    fault = outcome.fault or faults.get(task.target) or copy_problem(outcome, found.get(task.target))
    if fault:
        return CopyOutcome(task, fault=fault, attempts=outcome.attempts)
    run.tally.copied += 1
    run.tally.bytes_copied += task.size
    return outcome


def copy_problem(outcome: CopyOutcome, there: ListedObject | None) -> Fault | None:
    """Return what is wrong with a copy, given the HEAD of its target; None if the copy is right."""
    if there is not None and (there.etag, there.size) == (outcome.etag, outcome.task.size):
        return None
    return Fault("Mismatch", f"the copy at {outcome.task.target.key!r} is not what S3 answered to it")
