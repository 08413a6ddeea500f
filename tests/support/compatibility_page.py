"""Writes the tables of docs/compatibility.md from the figures of one or several runs; see scripts/compatibility.

A table is between `<!-- compatibility:NAME -->` and `<!-- end -->`. A table without figures stays as it is. That of the
endpoints needs none: botocore's resolver answers it, and a test compares the page with the answers.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.support.column_types import REFUSED, TRIED, WORKS
from tests.support.endpoints import CASES
from tests.support.reliability_page import Figure, read, table
from tests.support.reliability_page import put as reliability_put

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"


def databases(figures: list[Figure]) -> str:
    """Return what ran on each server."""
    ran: dict[str, list[str]] = defaultdict(list)
    for each in figures:
        ran[each["server"]].append(each.get("ran", "a whole migration: migrate, rollback, migrate again, finish"))
    return table(
        ("database server", "what was run"),
        [(name, "; ".join(sorted(set(what)))) for name, what in sorted(ran.items())],
    )


def servers(figures: list[Figure]) -> str:
    """Return what each S3 server lacks."""
    lacks = {each["server"]: ", ".join(each["lacks"]) or "nothing" for each in figures}
    return table(("S3 server", "what it lacks, as rehouse reports it"), sorted(lacks.items()))


def column_types(figures: list[Figure]) -> str:
    """Return the types of each mapped column by outcome, in the order in which they were tried."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for each in figures:
        found[each["column"]][each["outcome"]].append(f"`{each['type']}`")
    rows = [
        (f"`{column}`", *(", ".join(outcomes[outcome]) or "none" for outcome in (WORKS, REFUSED, TRIED)))
        for column, outcomes in sorted(found.items())
    ]
    header = ("column", WORKS, "refused by `doctor` and every command that writes", TRIED)
    return table(header, rows)


def endpoints() -> str:
    """Return where requests for a bucket named `home` go, in the cases of tests/s3/test_endpoint.py."""
    rows = [(name, f"`{case.region}`", f"`{case.url.format('home')}`") for name, case in CASES.items()]
    return table(("configured", "region", "URL of a bucket `home`"), rows)


TABLES: dict[str, Callable[[list[Figure]], str]] = {
    "databases": databases,
    "servers": servers,
    "column types": column_types,
}


put = partial(reliability_put, page=PAGE.stem)


def main() -> None:
    """Write every table that has figures."""
    found = read(Path(sys.argv[1]))
    text = put(PAGE.read_text(encoding="utf-8"), "endpoints", endpoints())
    for name in TABLES.keys() & found.keys():
        text = put(text, name, TABLES[name](found[name]))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
