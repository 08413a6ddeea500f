"""How far a run is: one frozen event, one callback. Operations report, the command line shows; here events are added up.

Counts never decrease: a second pass over the same documents does not lower what the first one reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

REPORTED_EVERY = 500
"""Where a document costs a microsecond or so, only every so many of them are reported."""
SECONDS_BETWEEN_REPORTS = 0.5
"""Where a document costs a request, how often the count is reported."""
RATE_SECONDS = 10.0
"""Over how long a rate is taken."""
BEGUN = "begun"
"""The step of the event that tells how many tenants a run is for, as `documents_total`."""
DONE = "done"
"""The step of the event that tells that nothing is left to do for a tenant in this run."""
IDLE = "idle"
"""The step of the event that tells that a tenant waits for its next turn."""
COUNTED = frozenset({"plan", "copy", "verify", "flip", "return", "remove"})
"""Steps whose counts are those of a tenant's documents."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far `step` (copy, verify, flip, …) of a tenant is. `subject` is a slug or a bucket's name; totals None: unknown.

    `text` is shown instead of counts where nothing is counted, such as while the run waits. `documents_failed`: how many documents
    could not be moved, or are not as they should be; 0 where a step does not count them.
    """

    subject: str
    step: str
    documents: int = 0
    documents_total: int | None = None
    bytes_copied: int = 0
    text: str | None = None
    documents_failed: int = 0


Report = Callable[[Progress], None]


def report_nothing(event: Progress) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Overall:
    """How far a run is. `rate` is documents a second lately; `seconds_left` is None while it cannot be told."""

    tenants_done: int
    tenants_total: int
    documents: int
    documents_total: int
    bytes_copied: int
    rate: float
    elapsed_seconds: float
    seconds_left: float | None
    documents_failed: int = 0


@dataclass
class Meter:
    """What the events of a run add up to. `begun` and every `now` are seconds of one clock that never goes back."""

    begun: float
    at_work: dict[str, Progress] = field(default_factory=dict)
    tenants: int = 0
    _done: set[str] = field(default_factory=set)
    _documents: dict[str, int] = field(default_factory=dict)
    _totals: dict[str, int] = field(default_factory=dict)
    _bytes: dict[str, int] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    _lately: deque[tuple[float, int]] = field(default_factory=deque)

    def take(self, event: Progress, now: float) -> None:
        """Take an event in."""
        if event.step == BEGUN:
            self.tenants = max(self.tenants, event.documents_total or 0)
        elif event.step in {DONE, IDLE}:
            self._done |= {event.subject} if event.step == DONE else set()
            self.at_work.pop(event.subject, None)
        else:
            failed = max(self._failed.get(event.subject, 0), event.documents_failed)
            self._failed[event.subject] = failed
            forward = _keep_from_falling(self.at_work.get(event.subject), event)
            self.at_work[event.subject] = replace(forward, documents_failed=failed)
            self._count(event, now)

    def _count(self, event: Progress, now: float) -> None:
        if event.step not in COUNTED or event.text is not None:
            return
        subject = event.subject
        self._documents[subject] = max(self._documents.get(subject, 0), event.documents)
        total = max(self._totals.get(subject, 0), event.documents_total or 0, self._documents[subject])
        self._totals[subject] = total
        self._bytes[subject] = max(self._bytes.get(subject, 0), event.bytes_copied)
        self._lately.append((now, sum(self._documents.values())))
        while len(self._lately) > 2 and self._lately[1][0] <= now - RATE_SECONDS:
            self._lately.popleft()

    def overall(self, now: float) -> Overall:
        """Return how far the run is."""
        documents, total = sum(self._documents.values()), sum(self._totals.values())
        since, before = self._lately[0] if self._lately else (now, documents)
        rate = (documents - before) / max(now - since, 0.001)
        left = (total - documents) / rate if rate > 0 else None
        return Overall(
            tenants_done=len(self._done),
            tenants_total=max(self.tenants, len(self._done | self._totals.keys())),
            documents=documents,
            documents_total=total,
            bytes_copied=sum(self._bytes.values()),
            rate=rate,
            elapsed_seconds=now - self.begun,
            seconds_left=left,
            documents_failed=sum(self._failed.values()),
        )


def _keep_from_falling(before: Progress | None, event: Progress) -> Progress:
    """Return the event, with counts no lower than those of the event before it in the same step, and below its total."""
    if before is None or before.step != event.step:
        before = Progress(event.subject, event.step)
    documents = max(before.documents, event.documents)
    total = event.documents_total
    if total is not None:
        total = max(total, documents, before.documents_total or 0)
    bytes_copied = max(before.bytes_copied, event.bytes_copied)
    return replace(event, documents=documents, documents_total=total, bytes_copied=bytes_copied)
