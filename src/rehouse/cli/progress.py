"""Progress on stderr: bars on a terminal, a line every few seconds elsewhere; the log gets the lines as well."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rehouse.cli.logs import log
from rehouse.core.escaping import on_one_line
from rehouse.core.progress import Progress, Report

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

SECONDS_BETWEEN_LINES = 5.0
ALL = "all tenants"


@contextmanager
def showing_progress() -> Iterator[Report]:
    """Yield the callback that shows progress; nothing is left on a terminal at the end."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console  # only a terminal pays for the bars
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<28}", markup=False),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>10}"),
        TextColumn("{task.fields[size]:>10}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield Drawing(bars)


class Watch:
    """What the events add up to: the rate of each subject's step, and all tenants' copies together."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], tuple[float, int]] = {}
        self._copies: dict[str, Progress] = {}

    def everything(self, event: Progress) -> Progress | None:
        """Return the sum over all tenants begun so far, if this is a copy and there are several."""
        if event.step != "copy":
            return None
        self._copies[event.subject] = event
        events = self._copies.values()
        documents, totals = sum(each.documents for each in events), sum(each.documents_total or 0 for each in events)
        copied_bytes = sum(each.copied_bytes for each in events)
        return Progress(ALL, "copy", documents, totals, copied_bytes) if len(events) > 1 else None

    def rate(self, event: Progress) -> float:
        """Return documents a second since the step's first event."""
        begun, documents = self._begun.setdefault((event.subject, event.step), (time.monotonic(), event.documents))
        return (event.documents - documents) / max(time.monotonic() - begun, 0.001)


class Lines:
    """Progress as lines on stderr, at most one every few seconds for each subject, and in the log."""

    def __init__(self) -> None:
        self._shown: dict[str, float] = {}
        self._begun = time.monotonic()
        self._watch = Watch()
        self._guard = threading.Lock()

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        with self._guard:
            for each in (event, self._watch.everything(event)):
                if each:
                    self._tell(each, self._watch.rate(each))

    def _tell(self, event: Progress, rate: float) -> None:
        now = time.monotonic()
        if now - self._shown.get(event.subject, self._begun) >= SECONDS_BETWEEN_LINES:
            self._shown[event.subject] = now
            line = on_one_line(described(event, rate))
            log.info(line)
            print(line, file=sys.stderr, flush=True)


class Drawing:
    """Progress as bars: one for all documents, one for each subject at work."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._watch = Watch()
        self._guard = threading.Lock()
        self._tasks: dict[str, tuple[str, TaskID]] = {}

    def __call__(self, event: Progress) -> None:
        """Take an event."""
        with self._guard:
            for each in (self._watch.everything(event), event):
                if each:
                    self._draw(each, self._watch.rate(each))

    def _draw(self, event: Progress, rate: float) -> None:
        bar = self._bar(event)
        if event.text is not None:
            self._bars.update(bar, description=on_one_line(f"{event.subject[:20]}: {event.text}"))
            return
        self._bars.update(
            bar,
            completed=event.documents,
            total=event.documents_total,
            rate=f"{rate:,.0f}/s",
            size=human_bytes(event.copied_bytes) if event.copied_bytes else "",
        )

    def _bar(self, event: Progress) -> TaskID:
        step, bar = self._tasks.get(event.subject, ("", None))
        if bar is None or step != event.step:  # a new bar: no update makes a total unknown again
            if bar is not None:
                self._bars.remove_task(bar)
            description = on_one_line(f"{event.subject[:20]} {event.step}")
            bar = self._bars.add_task(description, total=event.documents_total, rate="", size="")
            self._tasks[event.subject] = (event.step, bar)
        return bar


def described(event: Progress, rate: float) -> str:
    """Return an event as a line.

    >>> described(Progress("acme", "copy", 500, 2000, 1536), 250.0)
    'acme: copy: 500 of 2,000, 1.5 KiB, 250/s, 6 s left'
    """
    if event.text is not None:
        return f"{event.subject}: {event.text}"
    parts = [f"{event.documents:,}" + ("" if event.documents_total is None else f" of {event.documents_total:,}")]
    if event.copied_bytes:
        parts.append(human_bytes(event.copied_bytes))
    if rate > 0:
        parts.append(f"{rate:,.0f}/s")
        if event.documents_total is not None:
            parts.append(f"{max(event.documents_total - event.documents, 0) / rate:,.0f} s left")
    return f"{event.subject}: {event.step}: {', '.join(parts)}"


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
