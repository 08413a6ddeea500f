"""Copy a tenant's documents into the home bucket: pages of rows become tasks, outcomes are written in batches.

One stream: while the bulk plane copies, one thread talks to the ledger, preparing the next page and saving the last batch.
Every copy is conditional on its source's ETag and on its target. A condition that fails is looked into by HEAD and decided
again; what still fails is recorded and goes on with the next run. The source is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from rehouse.core.copies import Seen, Standing
from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.core.model import CopyOutcome, CopyTask, Migration
from rehouse.core.progress import Progress
from rehouse.ledger.documents import Line, line_of
from rehouse.ledger.ledger import translating
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.pages import Page, Pass, Tally, prepared, sorted_out, with_proofs

LOOKS = 2
"""How often a failed condition is looked into before the document is left for the next sweep."""
SMALL_BYTES = 1024 * 1024
AGAIN = frozenset({"PreconditionFailed", "NoSuchKey"})


def copy_documents(
    services: Services,
    migration: Migration,
    subject: str,
    *,
    is_adopted: bool = False,
    only: frozenset[str] | None = None,
) -> Tally:
    """Copy whatever of the tenant (with `only`: of these documents) is not at home and not copied yet; return what was done.

    Raises Interrupted when the run was stopped (everything finished is saved), StorageRefused when the rights to copy are
    missing altogether.
    """
    run = Pass.begun(services, migration, subject, is_adopted=is_adopted, only=only)
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


def _stream(run: Pass, ledger_thread: ThreadPoolExecutor, writer: _Writer) -> list[Seen]:
    """Copy page after page in one stream; return the documents whose conditions failed."""
    under_way: dict[str, Seen] = {}
    again: list[Seen] = []
    failures: list[RehouseError] = []

    def tasks() -> Iterator[CopyTask]:
        try:
            for page in _pages_ahead(run, ledger_thread):
                writer.add(page.lines)
                under_way.update(page.seen)
                yield from page.tasks
        except RehouseError as error:  # what is in flight comes home first
            failures.append(error)

    for outcome in run.services.engine.copy(tasks()):
        seen = under_way.pop(outcome.task.document_id)
        if _is_condition_failed(outcome):
            again.append(seen)
        else:
            writer.add([_counted(run, _with_guard_known(run.services, outcome))])
    if failures:
        raise failures[0]
    return again


def _pages_ahead(run: Pass, ledger_thread: ThreadPoolExecutor) -> Iterator[Page]:
    """Yield the pages, ready to be copied; the next one is prepared while the caller works on this one."""
    pages = run.documents.pages(run.services.settings.batch_size)

    def prepare() -> Page | None:
        with translating():
            run.services.stop_here()
            page = next(pages, None)
            return None if page is None else prepared(run, page)

    following = ledger_thread.submit(prepare)
    while (page := following.result()) is not None:
        following = ledger_thread.submit(prepare)
        yield page


def _look_again(run: Pass, batch: list[Seen], writer: _Writer) -> None:
    for look in range(LOOKS):
        writer.finish()  # one thread at a time on the ledger's connection
        run.services.stop_here()
        looked, source_faults = survey.look_at_sources(run.services, batch, batch, run.places)
        looked, target_faults = survey.look_at_targets(run.services, looked, run.places)
        looked, unproven = with_proofs(run, looked)  # our own copy perhaps, whose answer was lost
        page = sorted_out(run, looked, unproven | source_faults | target_faults)
        writer.add(page.lines)
        batch = []
        with translating(), run.documents.fenced():
            pass  # a run that was paused until another one took over must not replace what that one copied
        for outcome in run.services.engine.copy(page.tasks):
            if _is_condition_failed(outcome) and look < LOOKS - 1:
                batch.append(page.seen[outcome.task.document_id])
            else:
                writer.add([_counted(run, outcome)])
        if not batch:
            return


class _Writer:
    """Saves lines in batches, on the ledger's thread: a batch is written while the next is in flight."""

    def __init__(self, run: Pass, ledger_thread: ThreadPoolExecutor) -> None:
        self._run = run
        self._thread = ledger_thread
        self._lines: list[Line] = []
        self._saving: Future[None] | None = None

    def add(self, lines: list[Line]) -> None:
        """Take lines; raises what saving an earlier batch raised."""
        self._lines += lines
        if len(self._lines) >= self._run.services.settings.batch_size:
            self._save()

    def finish(self) -> None:
        """Save what is left and wait for it."""
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
    with translating():
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
    run.services.report(Progress(run.subject, "copy", done, run.total, copied_bytes=run.tally.copied_bytes))


def _counted(run: Pass, outcome: CopyOutcome) -> Line:
    if not outcome.is_guarded:
        run.services.guard.note_unguarded()
    if outcome.fault:
        run.tally.failed += 1
    else:
        run.tally.copied += 1
        run.tally.copied_bytes += outcome.task.size
    return line_of(outcome)


def _is_condition_failed(outcome: CopyOutcome) -> bool:
    return outcome.fault is not None and outcome.fault.code in AGAIN


def _with_guard_known(services: Services, outcome: CopyOutcome) -> CopyOutcome:
    """Repeat one finished copy, once a run: an endpoint that honours the condition on the target refuses it."""
    task, repeated = outcome.task, outcome
    if outcome.fault or task.replaces_etag or task.size > SMALL_BYTES:
        return outcome

    def ask() -> bool | None:
        nonlocal repeated
        again = next(iter(services.engine.copy([task])), None)
        if again and again.etag:
            repeated = again
            return False
        return True if again and again.fault and again.fault.code == "PreconditionFailed" else None

    services.guard.find_out(ask)
    return repeated
