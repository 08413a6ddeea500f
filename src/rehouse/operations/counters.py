"""Count what a command reports while it runs, for the screen and for `status --watch`."""

from __future__ import annotations

import threading
import time

from rehouse.core.progress import Meter, Overall, Progress, Report, report_nothing


class Counters:
    """The callback of a run: it takes events from every thread, passes them on, and counts the progress of the run."""

    def __init__(self, also: Report = report_nothing) -> None:
        self._also = also
        self._meter = Meter(time.monotonic())
        self._guard = threading.Lock()

    def __call__(self, event: Progress) -> None:
        """Count an event and pass it on."""
        with self._guard:
            self._meter.take(event, time.monotonic())
        self._also(event)

    def now(self) -> tuple[Overall, list[Progress]]:
        """Return the progress of the run, and the tenants and buckets at work, those with counts first."""
        with self._guard:
            at_work = sorted(self._meter.at_work.values(), key=lambda each: each.documents_total is None)
            return self._meter.overall(time.monotonic()), at_work
