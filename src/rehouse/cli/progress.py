"""Progress on stderr: bars on a terminal, a line every few seconds elsewhere; the log gets the lines as well."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from rehouse.cli.logs import log
from rehouse.core.progress import Progress, Report

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def showing_progress() -> Iterator[Report]:
    """Yield the callback that shows progress; nothing is left on a terminal at the end."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>10}"),
        TextColumn("{task.fields[size]:>10}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Drawing(bars)


class Lines:
    """Progress as lines on stderr, at most one every few seconds for each subject, and in the log."""

    def __init__(self) -> None:
        self._shown: dict[str, float] = {}
        self._begun = time.monotonic()

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        now = time.monotonic()
        if now - self._shown.get(event.subject, self._begun) >= SECONDS_BETWEEN_LINES:
            self._shown[event.subject] = now
            line = described(event)
            log.info(line)
            print(line, file=sys.stderr, flush=True)


class Drawing:
    """Progress as bars: one for all documents, one for each subject at work."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._begun = time.monotonic()
        self._guard = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._copies: dict[str, Progress] = {}

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        with self._guard:
            if event.step == "copy":
                self._copies[event.subject] = event
                self._draw("all tenants", self._everything())
            self._draw(event.subject, event)

    def _everything(self) -> Progress:
        events = self._copies.values()
        return Progress(
            "all tenants",
            "copy",
            sum(event.documents for event in events),
            sum(event.documents_total or 0 for event in events),
            sum(event.copied_bytes for event in events),
        )

    def _draw(self, subject: str, event: Progress) -> None:
        if subject not in self._tasks:
            self._tasks[subject] = self._bars.add_task(subject, rate="", size="")
        seconds = max(time.monotonic() - self._begun, 0.001)
        self._bars.update(
            self._tasks[subject],
            description=f"{subject[:20]} {event.step}",
            completed=event.documents,
            total=event.documents_total,
            rate=f"{event.documents / seconds:,.0f}/s",
            size=human_bytes(event.copied_bytes) if event.copied_bytes else "",
        )


def described(event: Progress) -> str:
    """Return an event as a line."""
    total = "" if event.documents_total is None else f" of {event.documents_total:,}"
    size = f", {human_bytes(event.copied_bytes)}" if event.copied_bytes else ""
    return f"{event.subject}: {event.step}: {event.documents:,}{total}{size}"


def human_bytes(size: float) -> str:
    """Return bytes for people.

    >>> human_bytes(1536)
    '1.5 KiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
