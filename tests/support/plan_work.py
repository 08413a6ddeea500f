"""What PostgreSQL did for each statement of a command: the rows that the nodes of its plan went through.

auto_explain writes the plans to the server's log. The number of rows is the same on every machine, which seconds are not.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from rehouse.sandbox.postgres import PostgresServer

_PLAN = re.compile(r"plan:\n(\t\{\n.*?\n\t\})\n", re.DOTALL)
_REMOVED = ("Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck")


class ExplainingPostgres(PostgresServer):
    """A server that logs the plan of every statement, and that renews no statistics by itself."""

    settings: ClassVar[Mapping[str, str]] = {
        **PostgresServer.settings,
        "autovacuum": "off",
        "session_preload_libraries": "auto_explain",
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_timing": "off",
        "auto_explain.log_format": "json",
    }

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "postgres.log"


class Work(NamedTuple):
    """A statement, and how many rows the nodes of its plans went through in all its calls."""

    rows: int
    statement: str


def read_work(log: Path, start: int = 0) -> list[Work]:
    """Return the work of each statement in the log from a position on, the most first."""
    text = log.read_bytes()[start:].decode(errors="replace")
    work = Counter[str]()
    for plan in map(json.loads, _PLAN.findall(text)):
        work[plan["Query Text"]] += _rows(plan["Plan"])
    return [Work(rows, statement) for statement, rows in work.most_common()]


def _rows(plan: Mapping[str, Any]) -> int:
    return round(sum(_own_rows(node) for node in _nodes(plan)))


def _own_rows(node: Mapping[str, Any]) -> float:
    seen = sum(node.get(name, 0) for name in ("Actual Rows", *_REMOVED))
    return float(max(seen, 1) * node.get("Actual Loops", 0))


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from _nodes(each)
