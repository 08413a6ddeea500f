"""Progress on stderr: bars on a terminal, a line every few seconds elsewhere, JSON lines for programs, or nothing.

The log gets the plain lines as well.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from rehouse.cli import output
from rehouse.cli.logs import SHOWN, log
from rehouse.cli.output import console
from rehouse.core.escaping import count_noun, escape_to_one_line
from rehouse.core.progress import Overall, Progress, Report, report_nothing

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rehouse.operations.counters import Counters

Kind = Literal["bars", "plain", "json", "none"]
SECONDS_BETWEEN_LINES = 5.0
SECONDS_BETWEEN_OBJECTS = 1.0
REFRESHES_A_SECOND = 2
MOST_TENANTS = 8
"""How many tenants at work are shown."""


@dataclass(frozen=True, slots=True)
class AtWork:
    """A tenant or bucket at work in a JSON line, under the keys that `status --watch` has for it."""

    subject: str
    step: str
    message: str | None
    documents: int
    documents_total: int | None
    documents_failed: int
    bytes_copied: int


@contextmanager
def show_progress(kind: Kind | None = None) -> Iterator[Report]:
    """Yield the callback that shows progress: as asked for, else bars on a terminal and lines elsewhere.

    Nothing is left on a terminal at the end.
    """
    kind = kind or ("none" if output.style.quiet else "bars" if sys.stderr.isatty() else "plain")
    show = {"bars": _show_bars, "plain": _print_lines, "json": _print_objects, "none": _show_nothing}[kind]
    with show() as report:
        yield report


@contextmanager
def _show_nothing() -> Iterator[Report]:
    yield report_nothing


@contextmanager
def _show_bars() -> Iterator[Report]:
    from rich.live import Live  # slow to import, and only a terminal needs it

    from rehouse.operations.counters import Counters

    shown = Counters()
    live = Live(
        get_renderable=lambda: draw(*shown.now()),
        console=console(stderr=True),
        refresh_per_second=REFRESHES_A_SECOND,
        transient=True,
    )
    with live:
        yield shown


@contextmanager
def _print_lines() -> Iterator[Report]:
    def print_progress(shown: Counters) -> None:
        overall, at_work = shown.now()
        for line in describe(overall, at_work):
            log.info(line, extra=SHOWN)
            print(line, file=sys.stderr, flush=True)

    with _repeat_regularly(print_progress, SECONDS_BETWEEN_LINES) as report:
        yield report


@contextmanager
def _print_objects() -> Iterator[Report]:
    def print_progress(shown: Counters) -> None:
        overall, at_work = shown.now()
        output.print_line({"type": "progress", **asdict(overall), "at_work": [_at_work(each) for each in at_work]})

    with _repeat_regularly(print_progress, SECONDS_BETWEEN_OBJECTS) as report:
        yield report


def _at_work(event: Progress) -> AtWork:
    counts = event.documents, event.documents_total, event.documents_failed, event.bytes_copied
    return AtWork(event.subject, event.step, event.text, *counts)


@contextmanager
def _repeat_regularly(print_progress: Callable[[Counters], None], seconds: float) -> Iterator[Report]:
    """Print the progress every so many seconds from a thread, even while nothing happens."""
    from rehouse.operations.counters import Counters

    shown, is_over = Counters(), threading.Event()

    def repeat() -> None:
        while not is_over.wait(seconds):
            print_progress(shown)

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield shown
    finally:
        is_over.set()
        thread.join()


def sum_up(overall: Overall, *, with_elapsed: bool = True) -> str:
    """Describe the progress of a run in one line.

    >>> sum_up(Overall(1, 3, 500, 2000, 1536, 250.0, 65.0, 6.0))
    '1 of 3 tenants, 500 of 2,000 documents, 1.5 KiB, 250/s, 0:01:05, 0:00:06 left'
    """
    parts = (
        [f"{overall.tenants_done:,} of {count_noun(overall.tenants_total, 'tenant')}"] if overall.tenants_total else []
    )
    if overall.documents_total:
        parts.append(f"{overall.documents:,} of {count_noun(overall.documents_total, 'document')}")
    if overall.bytes_copied:
        parts.append(human_bytes(overall.bytes_copied))
    if overall.rate:
        parts.append(f"{overall.rate:,.0f}/s" if overall.rate >= 10 else f"{overall.rate:.1f}/s")
    if with_elapsed:
        parts.append(str(timedelta(seconds=round(overall.elapsed_seconds))))
    if overall.seconds_left is not None and overall.documents < overall.documents_total:
        parts.append(f"{timedelta(seconds=round(overall.seconds_left))} left")
    return ", ".join(parts)


def describe(overall: Overall, at_work: list[Progress]) -> list[str]:
    """Return lines with the progress: one for the whole run, then one for each tenant at work."""
    lines = [sum_up(overall)]
    lines += [f"  {each.subject}: {_step(each)}" for each in at_work[:MOST_TENANTS]]
    if len(at_work) > MOST_TENANTS:
        lines.append(f"  and {len(at_work) - MOST_TENANTS} more")
    return [escape_to_one_line(line) for line in lines]


def _step(event: Progress) -> str:
    if event.text is not None:
        return event.text
    total = "" if event.documents_total is None else f" of {event.documents_total:,}"
    return f"{event.step} {event.documents:,}{total}"


def draw(overall: Overall, at_work: list[Progress]) -> RenderableType:
    """Return the progress for a terminal, with a bar for each tenant at work."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, max_width=24, overflow="ellipsis")
    grid.add_column(width=20)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for each in at_work[:MOST_TENANTS]:
        has_bar = each.text is None and each.documents_total
        bar = ProgressBar(each.documents_total or 1, each.documents, width=20) if has_bar else Text("")
        grid.add_row(Text(escape_to_one_line(each.subject)), bar, Text(escape_to_one_line(_step(each))))
    more = [Text(f"and {len(at_work) - MOST_TENANTS} more")] if len(at_work) > MOST_TENANTS else []
    return Group(Text(sum_up(overall), no_wrap=True, overflow="ellipsis"), grid, *more)


class Bytes(int):
    """A size in a table: right-aligned as a number, printed with its unit."""

    def __format__(self, _: str) -> str:
        """Return the size for people."""
        return human_bytes(int(self))


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
