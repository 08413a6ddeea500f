"""`status --watch`: a live screen of the commands at work, or JSON lines off a terminal.

The screen stays until Ctrl-C and is removed then; the lines end a few seconds after the last command.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rehouse.cli.output import GREEN, RED, YELLOW, console, fit_columns, say, shorten, to_json_types, wrap_line
from rehouse.cli.process import is_reader_gone, stop_on_signals
from rehouse.cli.progress import MOST_TENANTS, sum_up
from rehouse.core.escaping import count_noun, escape_json, escape_to_one_line
from rehouse.core.progress import Overall
from rehouse.core.tenant_state import describe_states
from rehouse.core.watching import Life, RunningCommand, TenantAtWork, total

if TYPE_CHECKING:
    from rich.text import Text

    from rehouse.operations.watching import HistoryEvent, Sight

SECONDS_IDLE = 10.0
"""Without a terminal, the watch ends when no command has been at work for so many seconds."""
FEWEST_EVENTS = 3
"""The least number of events to show; on a low terminal they take the place of tenants."""
WIDTH_FOR_BARS = 100
BAR = 16
LONGEST_NAME = 24
COLORS = {Life.RUNNING: GREEN, Life.QUIET: YELLOW, Life.KILLED: RED}


def watch(output: str) -> None:
    """Show what is at work until Ctrl-C; as JSON lines off a terminal, or if asked for."""
    from rehouse import config
    from rehouse.cli.logs import log_to
    from rehouse.operations.watching import watch as look_again

    settings = config.load()
    with log_to(settings.log_file), _watch_signals() as is_over:
        sights = look_again(settings, is_over)
        if output == "json" or not sys.stdout.isatty():
            print_lines(sights)
        else:
            _show(sights)


@contextmanager
def _watch_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT or SIGTERM sets; the second one ends the block at once."""
    is_over = threading.Event()

    def end_at_once() -> None:
        raise KeyboardInterrupt

    with stop_on_signals(is_over.set, again=end_at_once):
        yield is_over


def print_lines(sights: Iterable[Sight]) -> None:
    """Print JSON lines until no command has been at work for some seconds, or their reader is gone."""
    before: Sight | None = None
    for sight in sights:
        for line in lines_of(sight, before):
            print(escape_json(json.dumps(line, ensure_ascii=False)), flush=True)
        before = sight
        if sight.idle_seconds >= SECONDS_IDLE or is_reader_gone():
            return


def lines_of(sight: Sight, before: Sight | None) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects for what one look shows, given the look before; each has a `type`."""
    if sight.away:
        if before is None or not before.away:
            yield {"type": "database_away", "message": sight.away.message, "hint": sight.away.hint}
        return
    at = to_json_types(sight.at)
    if before is not None and before.away:
        yield {"type": "database_back", "at": at}
    for run in sight.look.alive:
        yield {"type": "progress", "at": at, **asdict(run)}
    for event in sight.new_events:
        yield {"type": "event", **to_json_types(event)}
    for ended in sight.look.ended:
        yield {"type": "ended", "at": at, **asdict(ended)}
    if before is None or sight.states != before.states:
        by_state = {str(state): count for state, count in sight.states.items()}
        yield {"type": "states", "at": at, "tenants_by_state": by_state}
    if not sight.look.alive and (before is None or before.look.alive):
        yield {"type": "idle", "at": at}


def _show(sights: Iterable[Sight]) -> None:
    """Draw each look on a screen of its own; print the last one at the end."""
    from rich.console import Group
    from rich.live import Live

    out = console()
    last: Sight | None = None
    with Live(console=out, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        for last in sights:
            live.update(Group(*draw(last, *out.size)), refresh=True)
    if last is not None:
        runs = last.look.alive
        say(*([f"{_title(run)}: {_progress_text(run.overall)}" for run in runs] or [IDLE]))


IDLE = "No command is at work."


def draw(sight: Sight, width: int, height: int) -> list[Text]:
    """Return the lines of the screen, at most as many as it has and at most as wide."""
    for most in range(MOST_TENANTS, -1, -1):
        top = [*_heading(sight, width), *(line for run in _runs(sight) for line in _of_run(run, width, most))]
        if len(top) + 2 + FEWEST_EVENTS <= height:
            break
    bottom = _last_events(sight.events, height - len(top) - 2)
    lines = [*top, *bottom][:height]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _runs(sight: Sight) -> Sequence[RunningCommand]:
    return (*sight.look.alive, *sight.look.killed)


def _line(text: str = "", style: str = "") -> Text:
    from rich.text import Text

    return Text(escape_to_one_line(text), style=style, no_wrap=True)


def _fold(text: str, width: int, style: str = "") -> list[Text]:
    return [_line(part, style) for part in wrap_line(escape_to_one_line(text), width)]


def _heading(sight: Sight, width: int) -> list[Text]:
    if sight.away:
        first = [
            _line(f"The database cannot be reached: {sight.away.message}", f"bold {RED}"),
            _line(f"Hint: {sight.away.hint}"),
        ]
    else:
        clock = f"{sight.at:%Y-%m-%d %H:%M:%S} UTC"
        first = [_line(clock + "Ctrl-C ends".rjust(width - len(clock)), "dim")]
    if sight.states:
        first.append(_line(f"{describe_states(Counter(sight.states).elements())}."))
    alive = sight.look.alive
    if not alive and not sight.away:
        first += [_line(), _line(IDLE, "bold")]
    if len(alive) > 1:
        first += [
            _line(),
            *_fold(f"{count_noun(len(alive), 'command')}: {_progress_text(total(alive))}", width, "bold"),
        ]
    return first


def _title(run: RunningCommand) -> str:
    return f"{run.command} on {run.host}"


def _of_run(run: RunningCommand, width: int, most: int) -> list[Text]:
    """Return the lines of a command: its name, its progress, and the tenants at work."""
    title = _line(_title(run), "bold")
    title.append(f"  {_life_text(run)}", style=COLORS[run.life])
    if run.life is Life.KILLED:
        return [_line(), title, _line("  Run the same command again: it continues where this one stopped.")]
    lines = [_line(), title, *_fold(f"  {_progress_text(run.overall)}", width)]
    shown = run.at_work[:most]
    if shown:
        lines += _table(shown, width)
    if len(run.at_work) > most:
        lines.append(_line(f"  … and {len(run.at_work) - most:,} more at work"))
    return lines


def _life_text(run: RunningCommand) -> str:
    ago = timedelta(seconds=round(run.quiet_seconds))
    if run.life is Life.KILLED:
        return f"killed, or cut off from the database; last change {ago} ago"
    elapsed = timedelta(seconds=round(run.elapsed_seconds))
    return f"{elapsed}, no change for {ago}" if run.life is Life.QUIET else f"{elapsed}, running"


def _progress_text(overall: Overall) -> str:
    errors = f", {count_noun(overall.documents_failed, 'error')}" if overall.documents_failed else ""
    return (sum_up(overall, with_elapsed=False) or "nothing is counted yet") + errors


def _table(tenants: Sequence[TenantAtWork], width: int) -> list[Text]:
    """Return a line of headings and one for each tenant, at most as wide as the terminal."""
    from rich.cells import cell_len

    has_bars = width >= WIDTH_FOR_BARS
    titles = ["tenant", "phase", "doing", *([""] if has_bars else []), "%", "rate", "errors"]
    rows = [_cells(each, has_bars=has_bars) for each in tenants]
    numeric = [False, False, False, *([True] if has_bars else []), True, True, True]
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    widths = fit_columns(widths, numeric, width - 2)
    lines = []
    for style, cells in (("bold", titles), *(("", row) for row in rows)):
        parts = []
        for number, cell in enumerate(cells):
            short = shorten(cell, widths[number])
            padding = " " * (widths[number] - cell_len(short))
            is_right = numeric[number] and titles[number]
            parts.append(padding + short if is_right else short + padding)
        lines.append(_line(f"  {'  '.join(parts)}".rstrip(), style))
    for line, each in zip(lines[1:], tenants, strict=True):
        if each.documents_failed:
            line.stylize(RED, len(line) - len(f"{each.documents_failed:,}"))
    return lines


def _cells(each: TenantAtWork, *, has_bars: bool) -> list[str]:
    share = min(each.documents / each.documents_total, 1.0) if each.documents_total and not each.message else None
    rate = f"{each.rate:,.0f}/s" if each.rate >= 10 else f"{each.rate:.1f}/s"
    return [
        escape_to_one_line(each.subject),
        each.phase or "",
        escape_to_one_line(_activity(each)),
        *([("━" * int(share * BAR) if share else "").ljust(BAR)] if has_bars else []),
        "" if share is None else f"{share:.0%}",
        "" if each.message else rate,
        f"{each.documents_failed:,}",
    ]


def _activity(each: TenantAtWork) -> str:
    if each.message:
        return each.message
    of_all = "" if each.documents_total is None else f" of {each.documents_total:,}"
    return f"{each.step} {each.documents:,}{of_all}"


def _last_events(events: Sequence[HistoryEvent], room: int) -> list[Text]:
    from rich.cells import cell_len

    shown = events[::-1][: max(room, 0)]
    if not shown:
        return []
    named = [shorten(escape_to_one_line(str(each.slug or each.tenant_id or "")), LONGEST_NAME) for each in shown]
    widest = max(map(cell_len, named))
    lines = [
        _line(f"  {each.at:%H:%M:%S}  {name}{' ' * (widest - cell_len(name))}  {_event_text(each)}")
        for name, each in zip(named, shown, strict=True)
    ]
    return [_line(), _line("Last events (UTC)", "bold"), *lines]


def _event_text(event: HistoryEvent) -> str:
    moved = f": {event.from_phase} → {event.to_phase}" if event.to_phase else ""
    return f"{event.event}{moved}" + (f", {event.reason}" if event.reason else "")
