"""Late writes: copy home an object that was written at a source after its document was moved, or report a conflict.

If the condition on its target guards the copy, the copy needs no lock: afterwards the document's row is locked to check both
objects and the ledger's line once more. If not, the row is locked during the copy. rehouse never overwrites an object that the
application wrote at home.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

from rehouse.core.comparing import Finding
from rehouse.core.copies import CopiedDocument, is_listing_cheaper
from rehouse.core.late_writes import CONFLICT, Verdict, conflict_message, decide_late_write, needs_proof
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.progress import Progress
from rehouse.core.unrecorded_copies import Doubt, is_in_parts
from rehouse.ledger.late_writes import LateWriteRecords
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
from rehouse.operations.steps.unrecorded_copies import Doubtful, compare_doubtful, complete_tags


class SourcesLookedAt(NamedTuple):
    """Whether the shared buckets were listed, and the faults of sources without an answer from S3, by document."""

    listed: bool
    faults: Mapping[str, Fault]


def look_at_sources(
    services: Services,
    migration: Migration,
    *,
    listed: bool = False,
    only_failed: bool = False,
    code: str | None = None,
) -> SourcesLookedAt:
    """Put the present sources into the run's inventory, by a listing, or by HEADs if these are fewer requests.

    `listed`: they are there already. `only_failed`: only the sources of documents with a fault (of this code).
    """
    lines = services.ledger.of(migration, LateWriteRecords)
    if listed and not only_failed:
        return SourcesLookedAt(True, {})
    documents = services.ledger.documents(migration)
    if not only_failed:
        heads = lines.count() + documents.counts().outside
        if is_listing_cheaper(heads, documents.rows_with_key()):
            survey.list_shared_buckets(services)
            return SourcesLookedAt(True, {})
    sources = lines.sources(only_failed=only_failed, code=code)
    found, faults = survey.head_all(services, set(sources.values()))
    survey.record_heads(services, found)
    return SourcesLookedAt(False, {document_id: faults[ref] for document_id, ref in sources.items() if ref in faults})


def has_late_writes(services: Services, migration: Migration) -> bool:
    """Return whether the run's inventory shows a late write, or the ledger has one that is outstanding."""
    return bool(services.ledger.of(migration, LateWriteRecords).suspects())


def sweep_again(services: Services, migration: Migration, subject: str, sources: Mapping[str, ObjectRef]) -> LateWrites:
    """Read the sources of these documents once more and settle late writes there. The lines of other documents stay."""
    found, faults = survey.head_all(services, set(sources.values()))
    survey.record_heads(services, found)
    not_seen = {document_id: faults[ref] for document_id, ref in sources.items() if ref in faults}
    return sweep_late_writes(services, migration, subject, not_seen, only=sources.keys())


def sweep_late_writes(
    services: Services,
    migration: Migration,
    subject: str,
    faults: Mapping[str, Fault] | None = None,
    *,
    only: Collection[str] | None = None,
) -> LateWrites:
    """Settle every late write in the run's inventory, which must have the sources (`look_at_sources`).

    `faults`: documents whose sources could not be read. `only`: only these documents. Late writes that are left are in the ledger
    with their code.
    """
    lines = services.ledger.of(migration, LateWriteRecords)
    not_seen = dict(faults or {})
    suspects = [moved for moved in lines.suspects() if only is None or moved.document_id in only]
    items = [_Suspect(moved.document_id, moved=moved) for moved in suspects if moved.document_id not in not_seen]

    def report(done: int, total: int) -> None:
        services.report(Progress(subject, "late", done, total))

    settled, waiting = settle_in_passes(services, items, partial(_settle, services, lines), report)
    not_seen |= {item.document_id: item.delay for item in waiting}
    services.keep_locks()
    return sum_up([*settled, *(record_fault(lines, *each) for each in not_seen.items())])


@dataclass(kw_only=True)
class _Suspect(LateDocument):
    """A document that may have a late write. `proofs`: the results of checksums, by the ETags at both ends."""

    moved: CopiedDocument
    proofs: dict[tuple[str, str], bool] = field(default_factory=dict)

    @property
    def copied_etag(self) -> str | None:
        """The ETag of the copy that this run made."""
        return self.copied.etag if self.copied else None


class _RowAndObjects(NamedTuple):
    """The document's row and both objects. `moved` has `contested` as it is after the check."""

    moved: CopiedDocument
    row: ObjectRef | None
    source: ListedObject | None
    target: ListedObject | None


def _settle(services: Services, lines: LateWriteRecords, suspect: _Suspect) -> LateWrites:
    moved = suspect.moved
    prepare, write = partial(_prepare, services, lines, suspect), partial(_settle_locked, services, lines, suspect)
    return settle_in_rounds(
        services, lines, suspect, prepare=prepare, write=write, refs=lambda: {moved.source, moved.target}
    )


def _prepare(services: Services, lines: LateWriteRecords, suspect: _Suspect) -> Fault | None:
    """Ask for the proof and make the copy that the decision will need, without a lock; return what prevents it."""
    row = lines.row(suspect.document_id)
    found, faults = survey.head_all(services, {suspect.moved.source, suspect.moved.target})
    if faults:
        return next(iter(faults.values()))
    seen = _look_at_row_and_objects(lines, suspect, row, found)
    fault = _prove(services, suspect, seen)
    if fault or seen.source is None or _verdict(suspect, seen) is not Verdict.COPY:
        return fault
    task = replace(_task(suspect.moved, seen.source), only_guarded=True)
    return suspect.keep(copy_one(services, task)) if is_guarded(services, task) else None


def _settle_locked(
    services: Services, lines: LateWriteRecords, suspect: _Suspect, row: ObjectRef | None, found: Heads
) -> LateWrites | Fault:
    """Record the result, or return why another round is needed."""
    seen = _look_at_row_and_objects(lines, suspect, row, found)
    verdict = _verdict(suspect, seen)
    return CHANGED_AGAIN if verdict is None else _write(services, lines, suspect, seen, verdict)


def _look_at_row_and_objects(
    lines: LateWriteRecords, suspect: _Suspect, row: ObjectRef | None, found: Heads
) -> _RowAndObjects:
    moved = suspect.moved
    if lines.find_pointed_at({moved.source}):  # asked after the check, when a row names the owner of a new object
        moved = replace(moved, contested=True)
    return _RowAndObjects(moved, row, found[moved.source], found[moved.target])


def _verdict(suspect: _Suspect, seen: _RowAndObjects) -> Verdict | None:
    """Return what to do, or None if that needs a proof that was not asked for."""
    copied = suspect.copied_etag
    pair = (seen.source.etag, seen.target.etag) if seen.source and seen.target else None
    is_needed = needs_proof(seen.moved, seen.source, seen.target, copied_etag=copied)
    if is_needed and pair not in suspect.proofs:
        return None
    is_proven = is_needed and pair is not None and suspect.proofs[pair]
    return decide_late_write(seen.moved, seen.row, seen.source, seen.target, is_proven=is_proven, copied_etag=copied)


def _write(
    services: Services, lines: LateWriteRecords, suspect: _Suspect, seen: _RowAndObjects, verdict: Verdict
) -> LateWrites | Fault:
    """Record the verdict while the row is locked; make the copy here if it is not guarded."""
    if verdict is Verdict.RECORD and suspect.copied:
        return lines.record_copy(suspect.copied) or LateWrites(recopied=1)
    if seen.row is None or seen.source is None or verdict is Verdict.NOTHING:
        lines.clear(suspect.document_id)
        return LateWrites()
    if seen.target is None or verdict is Verdict.CONFLICT:
        fault = Fault(CONFLICT, conflict_message(seen.moved, seen.row, seen.source, seen.target))
        return LateWrites(conflicts=int(lines.fail(suspect.document_id, fault, seen.source.etag)))
    task = _task(seen.moved, seen.source)
    if verdict is Verdict.ADOPT:
        outcome = CopyOutcome(task, etag=seen.target.etag, attempts=0)
    elif is_guarded(services, task):
        return CHANGED_AGAIN
    else:
        outcome = find_out_guard(services, copy_one(services, task))
    return outcome.fault or lines.record_copy(outcome) or LateWrites(recopied=1)


def _task(moved: CopiedDocument, source: ListedObject) -> CopyTask:
    return CopyTask(
        moved.document_id, moved.source, source.etag, source.size, source.storage_class, moved.target, moved.target_etag
    )


def _prove(services: Services, suspect: _Suspect, seen: _RowAndObjects) -> Fault | None:
    """Compare both ends where only that can decide; return the fault if S3 gave no answer.

    A copy in parts may lack its tags, if a run was killed before it set them: then they are set now.
    """
    source, target, moved = seen.source, seen.target, suspect.moved
    is_needed = needs_proof(moved, source, target, copied_etag=suspect.copied_etag)
    if source is None or target is None or not is_needed:
        return None
    ends = Ends(moved.document_id, moved.source, source.etag, moved.target, target.etag)
    doubt = Doubt.ALL if is_in_parts(target.etag) else Doubt.BYTES
    comparison = compare_doubtful(services, [Doubtful(ends, doubt)])[moved.document_id]
    is_proven = comparison.finding is Finding.SAME
    fault = complete_tags(services, ends) if is_proven else comparison.fault
    if fault is None:
        suspect.proofs[source.etag, target.etag] = is_proven
    return fault
