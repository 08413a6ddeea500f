"""Copy a tenant's documents into the home bucket: turn pages of rows into tasks, and write the outcomes in batches.

There is one stream: while the bulk plane copies, one thread prepares the next page and saves the last batch in the ledger. Every
copy is conditional on its source's ETag and on its target. If a condition fails, HEADs show why, and the document is decided on
again. What still fails is recorded for the next run. rehouse never changes the source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from rehouse.core.comparing import Finding
from rehouse.core.copies import Decision, Places, Standing, SurveyedDocument, decide
from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.core.lifecycle import DocumentState, Event, Phase, is_at_least
from rehouse.core.model import CopyOutcome, CopyTask, Fault, ListedObject, Migration
from rehouse.core.progress import Progress
from rehouse.core.unrecorded_copies import Doubt, doubt_about
from rehouse.ledger.copies import Documents, FailedDocuments, Line, line_of
from rehouse.ledger.faults import translate_errors
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.guarded_copies import find_out_guard
from rehouse.operations.steps.near_keys import name_near_objects
from rehouse.operations.steps.proofs import Ends
from rehouse.operations.steps.run import Run
from rehouse.operations.steps.unrecorded_copies import Doubtful, compare_doubtful, complete_tags
from rehouse.s3.faults import ACCESS_DENIED, CHANGED

LOOKS = 2
"""How often to decide again after a failed condition before the document is left for the next sweep."""


def copy(run: Run) -> Run:
    """Begin a round: copy the documents that are neither at home nor copied yet."""
    if run.phase in (Phase.COPIED, Phase.VERIFIED):
        run = run.advance(Event.CHANGES_FOUND, "a run looks for changes again")
    only: frozenset[str] | None = None
    if run.order.only_failed:
        only = run.failed | run.services.ledger.of(run.migration, FailedDocuments).ids(run.order.code)
        run = replace(run, failed=only)
    tally = copy_documents(run.services, run.migration, run.slug, is_adopted=run.is_home_adopted, only=only)
    report = run.report.add(copied=tally.copied, adopted=tally.adopted, bytes_copied=tally.bytes_copied)
    run = replace(
        run,
        report=report,
        rounds=run.rounds + 1,
        changes=tally.changed,
        is_proven=False,
        uploading=tally.standings[Standing.NOT_UPLOADED],
    )
    return run.advance(Event.ALL_COPIED) if run.phase is Phase.PROVISIONED else run


def copy_documents(
    services: Services,
    migration: Migration,
    subject: str,
    *,
    is_adopted: bool = False,
    only: frozenset[str] | None = None,
) -> Tally:
    """Copy the tenant's documents (with `only`: these) that are neither at home nor copied yet; return the counts.

    Raises Interrupted if the run was stopped (everything finished is saved), StorageRefused if the rights to copy are
    missing altogether.
    """
    run = Pass.begin(services, migration, subject, is_adopted=is_adopted, only=only)
    with ThreadPoolExecutor(1, thread_name_prefix="ledger") as ledger_thread:
        writer = _Writer(run, ledger_thread)
        try:
            again = _stream(run, ledger_thread, writer)
            size = services.settings.batch_size
            for first in range(0, len(again), size):
                _look_again(run, again[first : first + size], writer)
        finally:
            writer.finish()
    services.stop_here()
    return run.tally


def _stream(run: Pass, ledger_thread: ThreadPoolExecutor, writer: _Writer) -> list[SurveyedDocument]:
    """Copy all pages in one stream; return the documents whose conditions failed."""
    under_way: dict[str, SurveyedDocument] = {}
    again: list[SurveyedDocument] = []
    failures: list[RehouseError] = []

    def tasks() -> Iterator[CopyTask]:
        try:
            for page in _pages_ahead(run, ledger_thread):
                writer.add(page.lines)
                under_way.update(page.seen)
                yield from page.tasks
        except RehouseError as error:  # requests in flight are finished first
            failures.append(error)

    for outcome in run.services.engine.copy(tasks()):
        seen = under_way.pop(outcome.task.document_id)
        if _is_condition_failed(outcome):
            again.append(seen)
        else:
            known = outcome if outcome.task.replaces_etag else find_out_guard(run.services, outcome)
            writer.add([_count(run, known)])
            run.services.report_seldom(_progress, run)
    if failures:
        raise failures[0]
    return again


def _pages_ahead(run: Pass, ledger_thread: ThreadPoolExecutor) -> Iterator[Page]:
    """Yield the pages, ready to be copied. The next page is prepared while the caller works on this one."""
    pages = run.documents.pages_outside(run.services.settings.batch_size)

    def prepare() -> Page | None:
        with translate_errors():
            run.services.stop_here()
            page = next(pages, None)
            return None if page is None else prepare_page(run, page)

    following = ledger_thread.submit(prepare)
    while (page := following.result()) is not None:
        following = ledger_thread.submit(prepare)
        yield page


def _look_again(run: Pass, batch: list[SurveyedDocument], writer: _Writer) -> None:
    for look in range(LOOKS):
        writer.finish()  # one thread at a time on the ledger's connection
        run.services.stop_here()
        looked, source_faults = survey.look_at_sources(run.services, batch, batch, run.places)
        looked, target_faults = survey.look_at_targets(run.services, looked, run.places)
        looked, unproven = mark_proven(run, looked)  # the object may be our own copy, whose answer was lost
        page = decide_page(run, looked, unproven | source_faults | target_faults)
        writer.add(page.lines)
        batch = []
        with translate_errors(), run.documents.fence():
            pass  # a run that was paused while another one took over must not replace that run's copies
        for outcome in run.services.engine.copy(page.tasks):
            if _is_condition_failed(outcome) and look < LOOKS - 1:
                batch.append(page.seen[outcome.task.document_id])
            else:
                writer.add([_count(run, outcome)])
        if not batch:
            return


class _Writer:
    """Saves lines in batches on the ledger's thread: one batch is written while the next is in flight."""

    def __init__(self, run: Pass, ledger_thread: ThreadPoolExecutor) -> None:
        self._run = run
        self._thread = ledger_thread
        self._lines: list[Line] = []
        self._saving: Future[None] | None = None

    def add(self, lines: list[Line]) -> None:
        """Add lines. Raises the error with which an earlier batch failed."""
        self._lines += lines
        if len(self._lines) >= self._run.services.settings.batch_size:
            self._save()

    def finish(self) -> None:
        """Save the remaining lines and wait for the end."""
        if self._lines:
            self._save()
        saving, self._saving = self._saving, None
        if saving:
            saving.result()

    def _save(self) -> None:
        batch, self._lines = self._lines, []
        saving, self._saving = self._saving, None
        if saving:
            saving.result()
        self._saving = self._thread.submit(_save, self._run, batch)


def _save(run: Pass, lines: list[Line]) -> None:
    with translate_errors():
        run.services.keep_locks()
        run.documents.record(lines)
    refused = [line for line in lines if line.code == ACCESS_DENIED]
    if refused and len(refused) == len(lines) and not run.tally.changed:
        raise StorageRefused(
            f"{run.subject}: every copy was refused: {refused[0].message}",
            hint="`rehouse iam-policy --role migrate` prints the rights that are needed; `rehouse doctor` tests them",
            code=ACCESS_DENIED,
            subject=run.subject,
        )
    run.services.report(_progress(run))


def _progress(run: Pass) -> Progress:
    done = run.tally.changed + run.tally.failed + run.tally.standings[Standing.COPIED]
    failed = run.tally.failed + run.tally.standings[Standing.QUARANTINED]
    return Progress(run.subject, "copy", done, run.total, bytes_copied=run.tally.bytes_copied, documents_failed=failed)


def _count(run: Pass, outcome: CopyOutcome) -> Line:
    if not outcome.is_guarded:
        run.services.guard.absent.note_unguarded()
    if outcome.fault:
        run.tally.failed += 1
    else:
        run.tally.copied += 1
        run.tally.bytes_copied += outcome.task.size
    return line_of(outcome)


def _is_condition_failed(outcome: CopyOutcome) -> bool:
    return outcome.fault is not None and outcome.fault.code in CHANGED


NOTHING = ListedObject("", "", 0, "", datetime.fromtimestamp(0, UTC))
"""Used as the source of a document that has none."""


@dataclass
class Tally:
    """The counts of a pass over the tenant's documents; sizes in bytes."""

    standings: Counter[Standing] = field(default_factory=Counter)
    copied: int = 0
    adopted: int = 0
    bytes_copied: int = 0
    failed: int = 0

    @property
    def changed(self) -> int:
        """How many documents have a new or adopted copy."""
        return self.copied + self.adopted


@dataclass
class Pass:
    """One pass over a tenant's documents. `total`: how many rows to process; `only`: these documents (None: all)."""

    services: Services
    documents: Documents
    places: Places
    subject: str
    total: int
    is_home_listed: bool
    only: frozenset[str] | None = None
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def begin(
        cls,
        services: Services,
        migration: Migration,
        subject: str,
        *,
        is_adopted: bool,
        only: frozenset[str] | None = None,
    ) -> Self:
        """Return a new pass. An adopted home was the application's before the migration."""
        is_live = is_adopted or migration.was_live or is_at_least(migration.phase, Phase.CUT_OVER)
        documents = services.ledger.documents(migration)
        known, _ = services.ledger.inventory().totals(migration.home_bucket)
        return cls(
            services,
            documents,
            services.places(migration.home_bucket, is_live=is_live),
            subject,
            documents.counts().outside if only is None else len(only),
            known > 0,
            only,
        )


class Page(NamedTuple):
    """A page with its decisions: the tasks to copy, their documents, and the ledger lines that need no request."""

    tasks: list[CopyTask]
    seen: Mapping[str, SurveyedDocument]
    lines: list[Line]


def prepare_page(run: Pass, rows: Sequence[SurveyedDocument]) -> Page:
    """Ask S3 for what no listing showed, then decide on every document of the page."""
    wanted = rows if run.only is None else [each for each in rows if each.document.id in run.only]
    page, faults = survey.head_missing_sources(run.services, _mark_claims(run, wanted), run.places)
    page = name_near_objects(run.services, page, run.places, faults)
    if run.is_home_listed:
        page, more = mark_proven(run, survey.set_known_targets(run.services, page, run.places))
    else:
        page, more = survey.head_only_copies(run.services, page, run.places)
    return decide_page(run, page, {**faults, **more})


def _mark_claims(run: Pass, page: Sequence[SurveyedDocument]) -> list[SurveyedDocument]:
    """Return the page with the present claims of other tenants, because the inventory's marks are as old as the listing."""
    sources = {each.document.id: run.places.source_of(each.document) for each in page}
    claimed = run.documents.find_claimed_by_others(set(sources.values()))
    return [replace(each, contested=True) if sources[each.document.id] in claimed else each for each in page]


def mark_proven(run: Pass, page: Sequence[SurveyedDocument]) -> tuple[list[SurveyedDocument], dict[str, Fault]]:
    """Return the page with the targets marked that are proven to be finished copies, and the requests that failed."""
    doubtful = [
        Doubtful(
            Ends(each.document.id, run.places.source_of(each.document), each.source.etag, target, each.target.etag),
            doubt,
        )
        for each in page
        if each.source and each.target and not each.recorded_now
        if (doubt := doubt_about(each.source, each.target, each.recorded)) is not Doubt.NONE
        for target in (run.places.target_of(each.document, each.recorded),)
    ]
    proofs = compare_doubtful(run.services, doubtful)
    proven = {document_id for document_id, comparison in proofs.items() if comparison.finding is Finding.SAME}
    faults = {document_id: each.fault for document_id, each in proofs.items() if each.fault}
    for ends, _ in doubtful:
        if ends.document_id in proven and (fault := complete_tags(run.services, ends)):
            faults[ends.document_id] = fault
    return [replace(each, is_proven=True) if each.document.id in proven else each for each in page], faults


def decide_page(run: Pass, page: Sequence[SurveyedDocument], faults: Mapping[str, Fault]) -> Page:
    """Decide on every document. A document for which S3 gave no answer gets a line with the fault."""
    tasks: list[CopyTask] = []
    seen: dict[str, SurveyedDocument] = {}
    lines: list[Line] = []
    window = timedelta(seconds=run.services.settings.upload_window_seconds)
    now = datetime.now(UTC)
    for each in page:
        if each.document.id in faults:
            lines.append(_fault_line(run, each, faults[each.document.id]))
            continue
        decision = decide(each, run.places, now=now, upload_window=window)
        run.tally.standings[decision.standing] += 1
        if decision.standing is Standing.TO_COPY and decision.task:
            tasks.append(decision.task)
            seen[each.document.id] = each
        elif decision.standing is Standing.ADOPT and decision.task and each.target:
            run.tally.adopted += 1
            lines.append(_adopted_line(decision.task, each.target))
        elif decision.standing is Standing.QUARANTINED:
            lines.append(_quarantine_line(run.places, each, decision))
    return Page(tasks, seen, lines)


def _adopted_line(task: CopyTask, found: ListedObject) -> Line:
    """Return the line for an object that is a finished copy. If there is no source, it must keep its present ETag."""
    return Line(task, DocumentState.COPIED, target_etag=found.etag, attempts=0 if task.source_etag else 1)


def _quarantine_line(places: Places, each: SurveyedDocument, decision: Decision) -> Line:
    assert decision.reason is not None
    task = _task_of(places, each)
    return Line(task, DocumentState.QUARANTINED, code=decision.reason.value, message=decision.detail)


def _fault_line(run: Pass, each: SurveyedDocument, fault: Fault) -> Line:
    run.tally.failed += 1
    return Line(
        _task_of(run.places, each),
        DocumentState.PLANNED,
        attempts=1,
        code=fault.code,
        message=fault.message,
        request_id=fault.request_id,
    )


def _task_of(places: Places, each: SurveyedDocument) -> CopyTask:
    found = each.source or NOTHING
    source, target = places.source_of(each.document), places.target_of(each.document, each.recorded)
    return CopyTask(each.document.id, source, found.etag, found.size, found.storage_class, target)
