"""Copy a tenant's documents into the home bucket: pages of rows become tasks, outcomes are written in batches.

Every copy is conditional on its source's ETag and on its target. A condition that fails is looked into by HEAD and decided
again; what still fails is recorded and goes on with the next run. The source is never touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from rehouse.core.errors import StorageRefused
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration, ObjectRef
from rehouse.core.planning import Decision, Places, Seen, Standing, decide
from rehouse.core.progress import Progress
from rehouse.ledger.documents import Documents, Line, line_of
from rehouse.operations import survey
from rehouse.operations.services import Services

LOOKS = 3
"""How often a failed condition is looked into before the document is left for the next sweep."""
SMALL_BYTES = 1024 * 1024
AGAIN = frozenset({"PreconditionFailed", "NoSuchKey"})


@dataclass
class Tally:
    """What a pass over the tenant's documents found and did; sizes in bytes."""

    standings: Counter[Standing] = field(default_factory=Counter)
    copied: int = 0
    adopted: int = 0
    copied_bytes: int = 0
    failed: int = 0

    @property
    def changed(self) -> int:
        """How many documents have a new copy, or one that was adopted."""
        return self.copied + self.adopted


@dataclass
class _Pass:
    services: Services
    documents: Documents
    places: Places
    subject: str
    total: int
    tally: Tally = field(default_factory=Tally)


def copy_documents(services: Services, migration: Migration, subject: str) -> Tally:
    """Copy whatever of the tenant is not at home and not copied yet; return what was found and done.

    Raises Interrupted when the run was stopped (everything finished is saved), StorageRefused when the rights to copy are
    missing altogether.
    """
    documents = services.ledger.documents(migration)
    run = _Pass(services, documents, services.places(migration.home_bucket), subject, documents.counts().outside)
    for page in documents.pages(services.settings.batch_size):
        services.stop_here()
        _copy_page(run, page)
    return run.tally


def _copy_page(run: _Pass, page: list[Seen]) -> None:
    page, faults = survey.confirmed(run.services, page, run.places)
    page = survey.with_known_targets(run.services, page, run.places)
    lines: list[Line] = []
    for look in range(LOOKS):
        tasks = _sort_out(run, [each for each in page if each.document.id not in faults], lines)
        outcomes = _with_guard_known(run.services, list(run.services.engine.copy(tasks)))
        again = {outcome.task.document_id for outcome in outcomes if _is_worth_a_look(outcome) and look < LOOKS - 1}
        lines += [_counted(run, outcome) for outcome in outcomes if outcome.task.document_id not in again]
        page = [each for each in page if each.document.id in again]
        if not page or run.services.stopping.is_set():
            break
        page, source_faults = survey.look_at_sources(run.services, page, page, run.places)
        page, target_faults = survey.look_at_targets(run.services, page, run.places)
        faults |= source_faults | target_faults
    lines += [_unreachable(run, each, faults[each.document.id]) for each in page if each.document.id in faults]
    _save(run, lines)


def _with_guard_known(services: Services, outcomes: list[CopyOutcome]) -> list[CopyOutcome]:
    """Repeat one finished copy, once a run: an endpoint that honours the condition on the target refuses it."""
    if services.guard.is_honoured is None:
        for index, outcome in enumerate(outcomes):
            if outcome.etag and outcome.task.replaces_etag is None and outcome.task.size <= SMALL_BYTES:
                again = list(services.engine.copy([outcome.task]))
                services.guard.is_honoured = bool(again) and _is_condition_failed(again[0])
                return [*outcomes[:index], again[0] if again and again[0].etag else outcome, *outcomes[index + 1 :]]
    return outcomes


def _is_condition_failed(outcome: CopyOutcome) -> bool:
    return outcome.fault is not None and outcome.fault.code == "PreconditionFailed"


def _sort_out(run: _Pass, page: Sequence[Seen], lines: list[Line]) -> list[CopyTask]:
    """Return the tasks of a page; decisions that need no request become lines at once."""
    tasks = []
    window = timedelta(seconds=run.services.settings.upload_window_seconds)
    for each in page:
        decision = decide(each, run.places, now=datetime.now(UTC), upload_window=window)
        run.tally.standings[decision.standing] += 1
        if decision.standing is Standing.TO_COPY and decision.task:
            tasks.append(decision.task)
        elif decision.standing is Standing.ADOPT and decision.task and each.target:
            run.tally.adopted += 1
            lines.append(Line(decision.task, DocumentState.COPIED, target_etag=each.target.etag))
        elif decision.standing is Standing.QUARANTINED:
            lines.append(_quarantined(run.places, each, decision))
    return tasks


def _counted(run: _Pass, outcome: CopyOutcome) -> Line:
    if outcome.fault:
        run.tally.failed += 1
    else:
        run.tally.copied += 1
        run.tally.copied_bytes += outcome.task.size
    return line_of(outcome)


def _save(run: _Pass, lines: list[Line]) -> None:
    if lines:
        run.services.keep_locks()
        run.documents.record(lines)
    refused = [line for line in lines if line.code == "AccessDenied"]
    if refused and len(refused) == len(lines) and not run.tally.changed:
        raise StorageRefused(
            f"{run.subject}: every copy was refused: {refused[0].message}",
            hint="`rehouse iam-policy` prints the rights that are needed, `rehouse doctor` tests them",
            code="AccessDenied",
        )
    done = run.tally.changed + run.tally.failed + run.tally.standings[Standing.COPIED]
    run.services.report(
        Progress(run.subject, "copy", done, run.total, copied_bytes=run.tally.copied_bytes),
    )
    run.services.stop_here()


def _is_worth_a_look(outcome: CopyOutcome) -> bool:
    return outcome.fault is not None and outcome.fault.code in AGAIN


def _quarantined(places: Places, each: Seen, decision: Decision) -> Line:
    assert decision.reason is not None
    found = each.source or ListedObject("", "", 0, "", datetime.now(UTC))
    task = _as_task(places, each, found)
    return Line(task, DocumentState.QUARANTINED, code=decision.reason.value, message=decision.detail)


def _unreachable(run: _Pass, each: Seen, fault: Fault) -> Line:
    run.tally.failed += 1
    found = each.source or ListedObject("", "", 0, "", datetime.now(UTC))
    return Line(
        _as_task(run.places, each, found),
        DocumentState.PLANNED,
        attempts=1,
        code=fault.code,
        message=fault.message,
        request_id=fault.request_id,
    )


def _as_task(places: Places, each: Seen, found: ListedObject) -> CopyTask:
    source: ObjectRef = places.source_of(each.document)
    return CopyTask(
        each.document.id, source, found.etag, found.size, found.storage_class, places.target_of(each.document)
    )
