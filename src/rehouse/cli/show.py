"""What commands print: tables for people on stdout, one JSON object for programs, errors with their hint on stderr."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rehouse.core.errors import RehouseError
from rehouse.core.legible import legible, legible_json, on_one_line

WIDTH_OF_A_PIPE = 400


def console() -> Console:
    """Return the console for stdout; NO_COLOR and a pipe turn colours off."""
    return Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, highlight=False)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, always: int = 1) -> None:
    """Print a table; numbers stand to the right. A column that says nothing (only empty or 0) is left out.

    The first `always` columns are shown in any case.
    """
    lines = [list(row) for row in rows]
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    columns = [index for index in range(len(headings)) if index < always or any(line[index] for line in lines)]
    for index in columns:
        numeric = bool(lines) and all(isinstance(line[index], int | float | Decimal | None) for line in lines)
        drawn.add_column(headings[index], justify="right" if numeric else "left", overflow="fold")
    for line in lines:
        drawn.add_row(*(Text(shown(line[index])) for index in columns))
    out = console()
    with out.capture() as captured:
        out.print(drawn)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def say(*lines: str) -> None:
    """Print plain lines."""
    print(legible("\n".join(lines)))


def as_json(value: object) -> None:
    """Print one JSON object."""
    print(legible_json(json.dumps(plain(value), indent=2, ensure_ascii=False)))


def failure(error: RehouseError) -> None:
    """Print an error and its way out on stderr."""
    out = Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(Text.assemble(("Error: ", "bold red"), legible(error.message)))
    out.print(Text.assemble(("Hint:  ", "bold"), legible(error.hint)))


def shown(value: object) -> str:
    """Return a value for a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return on_one_line(str(value))


def plain(value: object) -> Any:
    """Return a report as what JSON knows: dataclasses and named tuples as objects, decimals and times as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, bool | int | float | str | None) else str(value)
