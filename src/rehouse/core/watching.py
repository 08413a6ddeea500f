"""The counts that a command publishes while it runs, and what a watcher computes from them: rates, and which commands are alive.

A command publishes nothing that changes by itself, such as a rate or a time, so a run that waits publishes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from rehouse.core.progress import RATE_SECONDS, Overall, Progress

LATE_SECONDS = 5.0
"""The age of a row, in seconds, after which several publications are missing."""
LONGEST_SUBJECT = 200
"""How many characters of a slug are published, because the size of an index entry is limited."""


@dataclass(frozen=True, slots=True)
class Counts:
    """One published row: for a tenant or bucket at work, or for the whole run, whose `subject` is empty."""

    subject: str
    step: str | None = None
    message: str | None = None
    tenants_done: int | None = None
    tenants: int | None = None
    documents: int = 0
    documents_total: int | None = None
    documents_failed: int = 0
    bytes_copied: int = 0


Snapshot = Mapping[str, Counts]
"""All rows of a run, by subject."""


def snapshot(overall: Overall, at_work: Sequence[Progress]) -> Snapshot:
    """Return the rows that a run publishes."""
    whole = Counts(
        "",
        tenants_done=overall.tenants_done,
        tenants=overall.tenants_total,
        documents=overall.documents,
        documents_total=overall.documents_total,
        documents_failed=overall.documents_failed,
        bytes_copied=overall.bytes_copied,
    )
    return {"": whole} | {row.subject: row for row in map(_row, at_work) if row.subject}


def _row(event: Progress) -> Counts:
    return Counts(
        event.subject[:LONGEST_SUBJECT],
        event.step,
        event.text,
        documents=event.documents,
        documents_total=event.documents_total,
        documents_failed=event.documents_failed,
        bytes_copied=event.bytes_copied,
    )


def changes(before: Snapshot, after: Snapshot) -> tuple[list[Counts], list[str]]:
    """Return the rows that are new or changed, and the subjects whose rows are to be deleted."""
    changed = [row for subject, row in after.items() if before.get(subject) != row]
    return changed, [subject for subject in before if subject not in after]


class Life(StrEnum):
    """Whether a command is alive, from its row and its lock."""

    RUNNING = "running"
    QUIET = "quiet"
    KILLED = "killed"


def life(*, is_held: bool, age: float) -> Life:
    """Return whether a command is alive.

    | lock     | age of its row | life    |
    |----------|----------------|---------|
    | held     | up to 5 s      | RUNNING |
    | held     | more           | QUIET   |
    | not held | up to 5 s      | RUNNING |
    | not held | more           | KILLED  |

    A command without a lock whose row is recent is about to end, or has lost its session for a moment. A command deletes its rows
    when it ends. QUIET: the command is alive, but nothing has changed for a while, for example because it waits for S3.
    """
    if age <= LATE_SECONDS:
        return Life.RUNNING
    return Life.QUIET if is_held else Life.KILLED


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row as a watcher reads it. `elapsed`: seconds since the command began; `age`: seconds since the row changed."""

    run_id: str
    counts: Counts
    command: str
    host: str
    elapsed: float
    age: float
    is_held: bool


@dataclass(frozen=True, slots=True)
class TenantAtWork:
    """A tenant or bucket that a command works on. `rate`: documents per second lately; `phase`: the phase in the ledger."""

    subject: str
    phase: str | None
    step: str | None
    message: str | None
    documents: int
    documents_total: int | None
    documents_failed: int
    bytes_copied: int
    rate: float


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """A command at work. `quiet_seconds`: how long nothing has changed; `seconds_left` is None while it is unknown."""

    run_id: str
    command: str
    host: str
    life: Life
    tenants_done: int
    tenants_total: int
    documents: int
    documents_total: int
    documents_failed: int
    bytes_copied: int
    rate: float
    elapsed_seconds: float
    seconds_left: float | None
    quiet_seconds: float
    at_work: tuple[TenantAtWork, ...]

    @property
    def overall(self) -> Overall:
        """The counts of the whole run."""
        return Overall(
            self.tenants_done,
            self.tenants_total,
            self.documents,
            self.documents_total,
            self.bytes_copied,
            self.rate,
            self.elapsed_seconds,
            self.seconds_left,
            self.documents_failed,
        )


@dataclass(frozen=True, slots=True)
class EndedCommand:
    """A command that is no longer at work. `is_killed`: it did not reach its end."""

    run_id: str
    command: str
    host: str
    is_killed: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What one look shows: the commands at work, the killed ones, and which of both have ended since the last look."""

    alive: tuple[RunningCommand, ...] = ()
    killed: tuple[RunningCommand, ...] = ()
    ended: tuple[EndedCommand, ...] = ()


@dataclass
class WatchState:
    """What one watcher has seen so far. Every `now` is in seconds of one monotonic clock."""

    _lately: dict[tuple[str, str, str | None], deque[tuple[float, int]]] = field(default_factory=dict)
    _before: Look = field(default_factory=Look)

    def take(self, rows: Sequence[PublishedRow], phases: Mapping[str, str | None], now: float) -> Look:
        """Process the rows that are published now. `phases`: subject → the phase of that tenant's migration."""
        rates = self._rates(rows, now)
        runs = [
            _running(row, [each for each in rows if each.run_id == row.run_id], phases, rates)
            for row in rows
            if not row.counts.subject
        ]
        alive = tuple(run for run in runs if run.life is not Life.KILLED)
        killed = tuple(run for run in runs if run.life is Life.KILLED)
        known = {run.run_id for run in self._before.killed}
        there = {run.run_id for run in runs}
        ended = [run for run in self._before.alive if run.run_id not in there]
        died = [run for run in killed if run.run_id not in known]
        self._before = Look(
            alive,
            killed,
            tuple(EndedCommand(each.run_id, each.command, each.host, each in died) for each in (*ended, *died)),
        )
        return self._before

    def _rates(self, rows: Sequence[PublishedRow], now: float) -> dict[tuple[str, str, str | None], float]:
        """Return the documents per second of each row, over the last seconds; another step starts at zero."""
        lately, rates = {}, {}
        for row in rows:
            key = (row.run_id, row.counts.subject, row.counts.step)
            seen = lately[key] = self._lately.get(key) or deque()
            seen.append((now, row.counts.documents))
            while len(seen) > 2 and seen[1][0] <= now - RATE_SECONDS:
                seen.popleft()
            since, before = seen[0]
            rates[key] = max(row.counts.documents - before, 0) / max(now - since, 0.001)
        self._lately = lately
        return rates


def _running(
    whole: PublishedRow,
    rows: Sequence[PublishedRow],
    phases: Mapping[str, str | None],
    rates: Mapping[tuple[str, str, str | None], float],
) -> RunningCommand:
    counts, rate = whole.counts, rates[whole.run_id, "", whole.counts.step]
    total = max(counts.documents_total or 0, counts.documents)
    age = min(row.age for row in rows)
    return RunningCommand(
        run_id=whole.run_id,
        command=whole.command,
        host=whole.host,
        life=life(is_held=whole.is_held, age=age),
        tenants_done=counts.tenants_done or 0,
        tenants_total=counts.tenants or 0,
        documents=counts.documents,
        documents_total=total,
        documents_failed=counts.documents_failed,
        bytes_copied=counts.bytes_copied,
        rate=rate,
        elapsed_seconds=whole.elapsed,
        seconds_left=(total - counts.documents) / rate if rate > 0 else None,
        quiet_seconds=age,
        at_work=tuple(
            TenantAtWork(
                subject=each.subject,
                phase=phases.get(each.subject),
                step=each.step,
                message=each.message,
                documents=each.documents,
                documents_total=each.documents_total,
                documents_failed=each.documents_failed,
                bytes_copied=each.bytes_copied,
                rate=rates[whole.run_id, each.subject, each.step],
            )
            for each in (row.counts for row in rows)
            if each.subject
        ),
    )


def total(runs: Sequence[RunningCommand]) -> Overall:
    """Return the sum over several commands; the elapsed time is that of the command that began first."""
    documents, of_all = sum(run.documents for run in runs), sum(run.documents_total for run in runs)
    rate = sum(run.rate for run in runs)
    return Overall(
        tenants_done=sum(run.tenants_done for run in runs),
        tenants_total=sum(run.tenants_total for run in runs),
        documents=documents,
        documents_total=of_all,
        bytes_copied=sum(run.bytes_copied for run in runs),
        rate=rate,
        elapsed_seconds=max((run.elapsed_seconds for run in runs), default=0.0),
        seconds_left=(of_all - documents) / rate if rate > 0 else None,
        documents_failed=sum(run.documents_failed for run in runs),
    )
