"""The progress of a run: operations report frozen events through a callback, and this module adds the events up.

Counts never decrease: a second pass over the same documents does not lower the counts of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

REPORTED_EVERY = 500
"""How often to report if a document takes about a microsecond: once for so many documents."""
SECONDS_BETWEEN_REPORTS = 0.5
"""How often to report if each document takes a request."""
RATE_SECONDS = 10.0
"""The period over which a rate is measured."""
BEGUN = "begun"
"""The step of the event whose `documents_total` is the number of tenants of the run."""
DONE = "done"
"""The step of the event that reports that the run has done everything for a tenant."""
IDLE = "idle"
"""The step of the event that reports that a tenant waits for its next turn."""
COUNTED = frozenset({"plan", "copy", "verify", "flip", "return", "remove"})
"""Steps whose counts are those of a tenant's documents."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of `step` (copy, verify, flip, …) of a tenant. `subject`: a slug or a bucket's name. A total of None: unknown.

    `text` is shown instead of counts if there are none, for example while the run waits. `documents_failed`: how many documents
    could not be moved or are wrong; 0 if the step does not count them.
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
    """Ignore the event."""


@dataclass(frozen=True, slots=True)
class Overall:
    """The progress of a run. `rate`: documents per second lately; `seconds_left` is None while it is unknown."""

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
    """The sum of a run's events. `begun` and every `now` are seconds of one monotonic clock."""

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
        """Add an event."""
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
        """Return the progress of the run."""
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
    """Return the event with counts no lower than those of the step's previous event, and not above its total."""
    if before is None or before.step != event.step:
        before = Progress(event.subject, event.step)
    documents = max(before.documents, event.documents)
    total = event.documents_total
    if total is not None:
        total = max(total, documents, before.documents_total or 0)
    bytes_copied = max(before.bytes_copied, event.bytes_copied)
    return replace(event, documents=documents, documents_total=total, bytes_copied=bytes_copied)
