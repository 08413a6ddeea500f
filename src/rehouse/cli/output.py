"""What commands print: tables for people on stdout, one JSON object for programs, errors with their hint on stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rehouse.cli import envelope
from rehouse.core.errors import Failure, RehouseError
from rehouse.core.escaping import escape_controls, escape_json, escape_to_one_line
from rehouse.core.tenant_state import TenantState

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20
"""How many lines of one kind are printed; --output json has them all."""
WIDTH_OF_A_PIPE = 400
NARROWEST = 16
"""The least width of a column of text, in cells."""
_INDENT = "  "
_GAP = "  "
"""The separator between two columns."""
_GLUE = "\0"
"""Marks a space at which a line must not break. No cell contains it: control characters are escaped there."""
_NUMBERS = (int, float, Decimal, type(None))
Value = TypeVar("Value")


GREEN, YELLOW, RED, BLUE = "color(28)", "color(130)", "color(160)", "color(30)"
"""Done, needs attention, failed; a command to copy. A colour repeats what the text says.

They can be read on a dark and on a light background. A terminal of 16 colours shows its own green, yellow, red and cyan.
"""
_LOOKS = {
    TenantState.COMPLETED: GREEN,
    TenantState.FINISHED: GREEN,
    TenantState.NEEDS_ATTENTION: YELLOW,
    TenantState.FAILED: RED,
}


class Attention(int):
    """A count in a table that needs attention if it is not 0."""


class Failures(int):
    """A count of failures in a table."""


def color_of(cell: object) -> str | None:
    """Return the colour of a table's cell, or None.

    >>> color_of(TenantState.FAILED), color_of(Attention(0)), color_of(Failures(2)), color_of("failed")
    ('color(160)', None, 'color(160)', None)
    """
    if isinstance(cell, TenantState):
        return _LOOKS.get(cell)
    if isinstance(cell, Attention | Failures) and cell:
        return YELLOW if isinstance(cell, Attention) else RED
    return None


Color = Literal["auto", "always", "never"]


@dataclasses.dataclass(frozen=True, slots=True)
class Style:
    """How this command prints, from the options that every command takes.

    `wide`: do not shorten cells. `verbose`: print the log on stderr. `quiet`: print errors and the result only. `has_json_lines`:
    all that goes to stderr are JSON lines, each with a `type`.
    """

    wide: bool = False
    color: Color = "auto"
    verbose: bool = False
    quiet: bool = False
    has_json_lines: bool = False


style = Style()


def console(*, stderr: bool = False) -> Console:
    """Return the console for stdout or stderr. NO_COLOR and a pipe turn colours off, unless --color says otherwise."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        width=None if stream.isatty() else WIDTH_OF_A_PIPE,
        highlight=False,
        force_terminal=True if style.color == "always" else None,
        no_color=True if style.color == "never" else False if style.color == "always" else None,
    )


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    always: int = 1,
    spare: Sequence[str] = (),
    whole: Sequence[str] = (),
    stderr: bool = False,
) -> None:
    """Print a table. Numbers are right-aligned; states and counts have colours (`color_of`).

    A column with only empty cells or 0 is left out, except the first `always` columns. If the terminal is too narrow, the columns
    in `spare` are left out, beginning with the first, and texts are shortened in the middle, except in the columns in `whole`;
    --wide prevents both. Cells that still do not fit are printed below their row, with their headings.
    """
    lines = [list(row) for row in rows]
    columns = [index for index in range(len(headings)) if index < always or any(line[index] for line in lines)]
    numeric = [
        bool(lines) and all(isinstance(line[index], _NUMBERS) for line in lines) for index in range(len(headings))
    ]
    cells = [[format_cell(cell) for cell in line] for line in lines]
    widths = [max(map(_cells, column)) for column in zip(headings, *cells, strict=True)]
    out, stream = console(stderr=stderr), sys.stderr if stderr else sys.stdout
    if not style.wide:
        rigid = [is_number or title in whole for is_number, title in zip(numeric, headings, strict=True)]
        columns = _drop_spare_columns(columns, headings, _least_widths(widths, rigid), spare, out.width)
        kept = fit_columns(_pick(widths, columns), _pick(rigid, columns), out.width)
    else:
        kept = _pick(widths, columns)
    titles, numeric, widths = _pick(headings, columns), _pick(numeric, columns), kept
    print(_color_parts(_split(titles, widths, numeric, out.width), ["bold"] * len(titles), out), file=stream)
    for line, formatted in zip(lines, cells, strict=True):
        row = _pick(formatted, columns)
        short = [shorten(cell, width) for cell, width in zip(row, widths, strict=True)]
        parts = _split(short, widths, numeric, out.width)
        print(_color_parts(parts, [color_of(cell) for cell in _pick(line, columns)], out), file=stream)
        rest = zip(titles[len(parts) :], row[len(parts) :], _pick(line, columns[len(parts) :]), strict=True)
        if below := [f"{title}: {text}" for title, text, cell in rest if cell]:
            print("\n".join(_fold(below, out.width)), file=stream)


def _drop_spare_columns(
    columns: Sequence[int], headings: Sequence[str], least: Sequence[int], spare: Sequence[str], width: int
) -> list[int]:
    """Return the columns to show, without as many spare ones as necessary to fit."""
    kept = list(columns)
    for title in spare:
        if sum(least[index] for index in kept) + 2 * (len(kept) - 1) <= width:
            break
        kept = [index for index in kept if headings[index] != title]
    return kept


def _pick(values: Sequence[Value], columns: Sequence[int]) -> list[Value]:
    return [values[index] for index in columns]


def _least_widths(widths: Sequence[int], rigid: Sequence[bool]) -> list[int]:
    return [room if is_rigid else min(room, NARROWEST) for room, is_rigid in zip(widths, rigid, strict=True)]


def _color_parts(parts: Sequence[str], looks: Sequence[str | None], out: Console) -> str:
    """Return the parts of a line, each in its colour if the console has colours."""
    shown = list(parts)
    if shown:
        shown[-1] = shown[-1].rstrip()
    if not any(looks) or out.color_system is None:
        return _GAP.join(shown).rstrip()
    from rich.text import Text

    line = Text(_GAP).join(Text(part, style=look or "") for part, look in zip(shown, looks, strict=False))
    with out.capture() as captured:
        out.print(line, soft_wrap=True, end="")
    return captured.get().rstrip()


def fit_columns(widths: Sequence[int], rigid: Sequence[bool], width: int) -> list[int]:
    """Return the widths of columns that fit into a line of so many cells; all but rigid ones become narrower, the widest first.

    Columns at the end that still do not fit keep their widths; they are not part of the line.

    >>> fit_columns([40, 30, 5], [False, False, True], 60), fit_columns([40, 8, 30], [False, True, False], 40)
    ([25, 26, 5], [30, 8, 30])
    """
    least = _least_widths(widths, rigid)
    count = len(widths)
    while count > 1 and sum(least[:count]) + 2 * (count - 1) > width:
        count -= 1
    fitting = list(widths)
    for _ in range(sum(widths[:count]) + 2 * (count - 1) - width):
        number = max(range(count), key=lambda each: fitting[each] - least[each] and fitting[each])
        if fitting[number] > least[number]:
            fitting[number] -= 1
    return fitting


def shorten(text: str, width: int) -> str:
    """Shorten a text in its middle to so many cells.

    >>> shorten("wayne-enterprises-research-and-development", 20)
    'wayne-enterp…lopment'
    """
    if _cells(text) <= width:
        return text
    tail = max((width - 1) * 2 // 5, 1)
    return f"{_cut_to_cells(text, width - 1 - tail).rstrip()}…{_cut_to_cells(text[::-1], tail)[::-1]}"


def _cut_to_cells(text: str, width: int) -> str:
    """Return the longest beginning of a text that fits into so many cells."""
    count = width  # a character takes at least one cell, except for combining marks
    while _cells(text[:count]) > width:
        count -= 1
    return text[:count]


def _cells(text: str) -> int:
    """Return the width of a text in cells of a terminal."""
    from rich.cells import cell_len

    return cell_len(text)


def _split(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], width: int) -> list[str]:
    """Split off the cells that fit into one line, at least the first, each as wide as its column."""
    parts, taken = list[str](), 0
    for cell, room, is_number in zip(cells, widths, numeric, strict=True):
        padding = " " * (room - _cells(cell))
        part = padding + cell if is_number else cell + padding
        if parts and taken + 2 + _cells(part.rstrip()) > width:
            break
        taken += 2 + _cells(part) if parts else _cells(part)
        parts.append(part)
    return parts


def _fold(parts: Sequence[str], width: int) -> list[str]:
    """Wrap parts into indented lines: between the parts, or between words if a part is longer than a line."""
    whole = [part.replace(" ", _GLUE) if _cells(part) <= width // 2 else part for part in parts]
    lines = textwrap.wrap(
        ", ".join(whole),
        max(width, 4 * len(_INDENT)),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(_GLUE, " ") for line in lines]


def say(*lines: str, stderr: bool = False) -> None:
    """Print plain lines; wrap lines that are wider than the terminal between words."""
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty() and not style.wide:
        width = console(stderr=stderr).width
        lines = tuple(part for line in lines for each in line.split("\n") for part in wrap_line(each, width))
    print(escape_controls("\n".join(lines)), file=stream)


def wrap_line(line: str, width: int) -> list[str]:
    """Wrap a line between words into parts of so many characters, with a deeper indent after the first.

    >>> wrap_line("  hint: run the same command again", 20)
    ['  hint: run the same', '    command again']
    """
    if len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    parts = textwrap.wrap(
        line.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent + _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return parts or [line]


def define(headings: tuple[str, str], meanings: Mapping[str, str]) -> None:
    """Print terms with their meanings wrapped beside them. Nothing is shortened."""
    from rich.text import Text

    out = console()
    indent = max(map(_cells, (headings[0], *meanings))) + 2
    out.print(Text(f"{headings[0]:<{indent}}{headings[1]}", style="bold"), soft_wrap=True)
    for term, meaning in meanings.items():
        lines = textwrap.wrap(
            meaning, max(out.width - indent, NARROWEST), break_long_words=False, break_on_hyphens=False
        )
        print(f"{term:<{indent}}{lines[0]}", *(f"{'':<{indent}}{line}" for line in lines[1:]), sep="\n")


def say_aside(message: str, *, label: str = "") -> None:
    """Print a sentence on stderr that is not part of the result: after the label, or as a JSON line of the type `note`."""
    if style.has_json_lines:
        print_line({"type": "note", "message": message})
    else:
        say(f"{label}{message}", stderr=True)


def print_line(value: object) -> None:
    """Print a JSON line on stderr, at once."""
    print(escape_json(json.dumps(to_json_types(value), ensure_ascii=False)), file=sys.stderr, flush=True)


def say_next(command: str | None, *, first: str | None = None) -> None:
    """Print what to do next, if there is something; on one line, so that it can be copied. `first`: what comes before it."""
    if command and not style.quiet:
        say("", *([first] if first else []))
        print(escape_controls(f"Next: {command}"))


def say_note(note: str) -> None:
    """Print a note, which is not part of the result."""
    if not style.quiet:
        say(f"note: {note}")


def say_more(count: int) -> None:
    """Print how many lines were left out, if any."""
    if count > SHOWN:
        say(f"  … and {count - SHOWN:,} more (--output json lists them all)")


def print_report(output: str, value: object, show: Callable[[], None], failures: Iterable[Failure] = ()) -> None:
    """Print a report for people with `show`, or make it the `result` of the JSON envelope, with `failures` among its errors."""
    envelope.ending.report(value, failures)
    if output != "json":
        show()


def add_up(reports: Sequence[object], *names: str) -> list[int]:
    """Return for each field its sum over the reports."""
    return [sum(getattr(each, name) for each in reports) for name in names]


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print one JSON object; without an indent on one line."""
    print(escape_json(json.dumps(to_json_types(value), indent=indent, ensure_ascii=False)))


def failure(error: RehouseError) -> None:
    """Print an error and its hint on stderr."""
    if style.has_json_lines:
        return print_line({"type": "error", **to_json_types(error.as_failure())})
    from rich.text import Text

    out = console(stderr=True)
    wrap = sys.stderr.isatty() and not style.wide
    for label, look, text in (("Error: ", f"bold {RED}", error.message), ("Hint:  ", "bold", error.hint)):
        lines = wrap_line(label + escape_controls(text), out.width) if wrap else [label + escape_controls(text)]
        shown = Text("\n".join(lines))
        shown.stylize(look, 0, len(label))
        out.print(shown, soft_wrap=True)
    return None


def format_cell(value: object) -> str:
    """Format a value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, TenantState):
        return value.words
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return escape_to_one_line(str(value))


def to_json_types(value: object) -> Any:
    """Convert a report to JSON types: dataclasses and named tuples as objects, decimals and times as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json_types(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return to_json_types(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): to_json_types(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_types(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | str | None) else str(value)
