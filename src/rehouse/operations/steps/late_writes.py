"""Late writes: what was written at a document's source after the document was moved is brought home, or told as a conflict.

Each is settled in a transaction of its own that holds the document's row, from the looks at both objects to the ledger's
line. Nothing that was written at home is ever covered.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from rehouse.core.comparing import Finding
from rehouse.core.copies import is_md5
from rehouse.core.late_writes import CONFLICT, ROW_LOCKED, Moved, Verdict, conflict_message, decide_late
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.core.progress import Progress
from rehouse.ledger.late_writes import LateLines, RowIsBusy
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.proofs import Ends, compare_by_checksum

PASSES = 40
PAUSE_SECONDS = 0.25
"""A row that another transaction holds is left for the next pass: about ten seconds in all, then for the next run."""
CHANGED = frozenset({"PreconditionFailed", "NoSuchKey"})
"""One of the objects changed under the copy: the document is decided on once more."""
BUSY = Fault(ROW_LOCKED, "its source may have been written late, and another transaction kept its row locked")


class LateWrites(NamedTuple):
    """Late writes: brought home, found to be (new) conflicts, and left for the next run with a fault."""

    recopied: int = 0
    conflicts: int = 0
    left: int = 0


class Looked(NamedTuple):
    """Whether the shared buckets were listed, and the sources that S3 would not tell about, by document."""

    listed: bool
    faults: Mapping[str, Fault]


def look_at_sources(
    services: Services,
    migration: Migration,
    *,
    listed: bool = False,
    only_failed: bool = False,
    code: str | None = None,
) -> Looked:
    """Bring what the sources are now into the run's inventory: by a listing, or by HEADs where these are fewer requests.

    `listed`: that was done already. `only_failed`: only the sources of documents with a fault (of this code).
    """
    lines = services.ledger.of(migration, LateLines)
    if listed and not only_failed:
        return Looked(True, {})
    documents = services.ledger.documents(migration)
    if not only_failed:
        heads = lines.count() + documents.counts().outside
        if heads * LISTED_PER_REQUEST >= documents.rows_with_key():
            survey.list_shared_buckets(services)
            return Looked(True, {})
    sources = lines.sources(only_failed=only_failed, code=code)
    found, faults = survey.head_all(services, set(sources.values()))
    survey.remember(services, found)
    return Looked(False, {document_id: faults[ref] for document_id, ref in sources.items() if ref in faults})


def are_there(services: Services, migration: Migration) -> bool:
    """Return whether the run's inventory shows a late write, or the ledger holds one that is outstanding."""
    return bool(services.ledger.of(migration, LateLines).suspects())


def sweep_again(services: Services, migration: Migration, subject: str, sources: Mapping[str, ObjectRef]) -> LateWrites:
    """Look at the sources of these documents once more and settle what was written there; the others' lines stay as they are."""
    found, faults = survey.head_all(services, set(sources.values()))
    survey.remember(services, found)
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
    """Settle every late write that the run's inventory shows; the sources must be in it (`look_at_sources`).

    `faults`: documents whose sources could not be looked at; `only`: the documents that count. What is left is in the ledger
    with its code.
    """
    lines = services.ledger.of(migration, LateLines)
    not_seen = dict(faults or {})
    suspects = [moved for moved in lines.suspects() if only is None or moved.document_id in only]
    waiting = [moved for moved in suspects if moved.document_id not in not_seen]
    settled: list[LateWrites] = []
    for _ in range(PASSES):
        total, busy = len(settled) + len(waiting), []
        for moved in waiting:
            services.stop_here()
            services.keep_locks()
            try:
                settled.append(services.ledger.patiently(partial(_settle, services, lines, moved)))
            except RowIsBusy:
                busy.append(moved)
            services.report(Progress(subject, "late", len(settled), total))
        waiting = busy
        if not waiting:
            break
        time.sleep(PAUSE_SECONDS)
    not_seen |= {moved.document_id: BUSY for moved in waiting}
    _fail(services, lines, not_seen)
    recopied, conflicts, left = (sum(column) for column in zip(*settled, LateWrites(), strict=True))
    return LateWrites(recopied, conflicts, left + len(not_seen))


def _fail(services: Services, lines: LateLines, faults: Mapping[str, Fault]) -> None:
    services.keep_locks()
    for document_id, fault in faults.items():
        with lines.fenced():
            lines.fail(document_id, fault)


def _settle(services: Services, lines: LateLines, moved: Moved) -> LateWrites:
    with lines.locked(moved.document_id) as row:
        settled = _decided(services, lines, moved, row)
        if isinstance(settled, Fault) and settled.code in CHANGED:
            settled = _decided(services, lines, moved, row)
        if isinstance(settled, Fault):
            lines.fail(moved.document_id, settled)
            return LateWrites(left=1)
        return settled


def _decided(services: Services, lines: LateLines, moved: Moved, row: ObjectRef | None) -> LateWrites | Fault:
    """Look at both objects, decide, and do it; return what became of it, or the fault."""
    found, faults = survey.head_all(services, {moved.source, moved.target})
    if faults:
        return next(iter(faults.values()))
    source, target = found[moved.source], found[moved.target]
    if lines.pointed_at({moved.source}):  # asked after the look: whose object that is, is in a row by now
        moved = replace(moved, contested=True)
    is_proven = _have_same_checksum(services, moved, source, target)
    if isinstance(is_proven, Fault):
        return is_proven
    verdict = decide_late(moved, row, source, target, is_proven=is_proven)
    if row is None or source is None or verdict is Verdict.NOTHING:
        lines.clear(moved.document_id)
        return LateWrites()
    if target is None or verdict is Verdict.CONFLICT:
        fault = Fault(CONFLICT, conflict_message(moved, row, source, target))
        return LateWrites(conflicts=int(lines.fail(moved.document_id, fault, source.etag)))
    failed = _bring_home(services, lines, _task(moved, source), target if verdict is Verdict.ADOPT else None)
    return failed or LateWrites(recopied=1)


def _task(moved: Moved, source: ListedObject) -> CopyTask:
    return CopyTask(
        moved.document_id, moved.source, source.etag, source.size, source.storage_class, moved.target, moved.target_etag
    )


def _bring_home(services: Services, lines: LateLines, task: CopyTask, adopted: ListedObject | None) -> Fault | None:
    """Copy the late write home, or adopt the copy that a run made before it died; return the fault if that failed."""
    if adopted:
        return lines.brought_home(CopyOutcome(task, etag=adopted.etag, attempts=0))
    outcome = next(iter(services.engine.copy([task])), None)
    if outcome is None:
        services.stop_here()
        return Fault("IncompleteReply", "S3 gave no answer to the copy")
    return outcome.fault or lines.brought_home(outcome)


def _have_same_checksum(
    services: Services, moved: Moved, source: ListedObject | None, target: ListedObject | None
) -> bool | Fault:
    if source is None or target is None or target.etag == moved.target_etag or source.size != target.size:
        return False
    if is_md5(source.etag) and source.etag == target.etag:
        return False
    ends = Ends(moved.document_id, moved.source, source.etag, moved.target, target.etag)
    comparison = compare_by_checksum(services.bulk, [ends])[moved.document_id]
    return comparison.fault or comparison.finding is Finding.SAME
