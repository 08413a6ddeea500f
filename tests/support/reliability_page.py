"""Writes the tables of docs/reliability.md from the figures of a run: `python -m tests.support.reliability_page FOLDER`.

It is called only after a run in which every test passed. So what a test asserts (nothing is lost) is a 0 in its table.
A table is between `<!-- reliability:NAME -->` and `<!-- end -->`. If only a part of the tests ran, the page stays as it is.
"""

from __future__ import annotations

import json
import platform
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
Figure = dict[str, Any]
SUCCEEDED, RESUMED = "succeeded", "refused, and the next run succeeded"
LABELS = {
    "of these by an old pointer": "of these through an old pointer",
    "by kind": "writes by kind",
    "late": "late writes",
    "what became of them": "outcome of late writes",
    "conflicts told": "conflicts reported",
    "moved out of the way by hand": "moved away by hand",
    "seconds until the last was seen": "longest time until a late write was visible (s)",
    "without the lock, too": "also without the lock",
    "what": "kind",
    "sent home": "migrated",
    "sent back": "rolled back",
    "sent home again": "migrated again",
    "sent home, back and home again": "migrated, rolled back, migrated again",
    "done, and the answer never comes": "the server acted, and its answer never arrives",
    "200 with an error in it": "200 with an error in the body",
    "answer torn off": "half of the answer, then the connection ends",
    "answer cut short": "half of the answer, announced as the whole",
    "S3 away": "S3 unreachable",
    "every connection cut": "every connection to PostgreSQL cut",
    "the lock's connection cut": "the connection of the tenant's lock cut",
    "two operators: migrate a": "two operators migrate the same tenant",
    "two operators: migrate-all": "two operators run migrate-all",
    "an older version of it": "replaced by an older version",
    "gone": "deleted",
}
"""What the page shows for a name of the figures."""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "found" if value else "**missed**"
    return f"{value:,}" if isinstance(value, int) else LABELS.get(str(value), str(value))


def crash_points(figures: list[Figure]) -> str:
    """Return the crash points by scene."""
    killed: Counter[str] = Counter()
    moments: dict[str, int] = {}
    for each in figures:
        killed[each["scene"]] += each["survived"]
        moments[each["scene"]] = each["moments"]
    rows = [(scene, moments[scene], count, count) for scene, count in killed.items()]
    total = killed.total()
    header = ("command", "moments of an undisturbed run", "killed at", "survived")
    return table(header, [*rows, ("**all**", sum(moments.values()), total, total)])


def faults(figures: list[Figure]) -> str:
    """Return the cases by kind of fault."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for each in figures:
        names = ("operations", "extra_requests", SUCCEEDED, RESUMED)
        by_kind[each["kind"]].update({name: each.get(name, 0) for name in names})
    rows = [
        (kind, count["operations"], count[SUCCEEDED], count[RESUMED], 0, count["extra_requests"])
        for kind, count in by_kind.items()
    ]
    sums = [sum(row[number] for row in rows) for number in range(1, 6)]  # type: ignore[misc]
    header = ("fault, once", "cases", "succeeded at once", "refused, then succeeded", "lost", "extra requests")
    return table(header, [*rows, ("**all**", *sums)])


def storms(figures: list[Figure]) -> str:
    """Return the storms of 503."""
    return table(
        ("command", "refused", "requests refused", "extra requests", "end"),
        [
            (each["scene"], f"{each['share']:.0%}", each["refused"], each["extra_requests"], each["ended"])
            for each in figures
        ],
    )


def staying(figures: list[Figure]) -> str:
    """Return the faults that stay for a whole run."""
    return table(
        (
            "fault, on every call of one operation",
            "operations",
            "success or a clear failure, and the next run succeeded",
        ),
        [(each["kind"], each["operations"], each["survived"]) for each in figures],
    )


def surroundings(figures: list[Figure]) -> str:
    """Return how runs end when something around them fails."""
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    for each in figures:
        ends[each["what"]][each["ended"]] += 1
    rows = [
        (what, ", ".join(f"{end} ({count})" if count > 1 else end for end, count in kinds.items()))
        for what, kinds in ends.items()
    ]
    return table(("what happened during a migration", "the run"), rows)


def corruption(figures: list[Figure]) -> str:
    """Return which check finds which damage."""
    looks = ("before the flip", "verify", "verify --deep")
    rows = [(each["damage"], each["object"], *(each[look] for look in looks)) for each in figures]
    return table(("damage", "object", *looks), sorted(rows, key=lambda row: (str(row[0]), str(row[1])), reverse=False))


def model(figures: list[Figure]) -> str:
    """Return what was explored, by the sequence of commands."""
    walked: dict[str, Counter[str]] = defaultdict(Counter)
    for each in figures:
        walked[each["commands"]].update(scenarios=1, states=each["states"], interleavings=each["interleavings"])
    names = ("scenarios", "states", "interleavings")
    rows = [(commands, *(counts[name] for name in names), 0) for commands, counts in walked.items()]
    return table(("commands", *names, "promises broken"), rows)


def plain(figures: list[Figure]) -> str:
    """Return the figures as they are, one row each."""
    names = [name for name in figures[0] if name not in ("table", "test")]
    return table(names, [[each.get(name, "") for name in names] for each in figures])


def summary(found: dict[str, list[Figure]]) -> str:
    """Return the totals. A document that is lost, duplicated or with another tenant fails the run, so these are 0."""

    def total(name: str, *fields: str) -> int:
        return sum(int(each.get(field, 0)) for each in found[name] for field in fields)

    crashes, kills = total("crash points", "survived"), total("loops", "killed")
    struck = total("faults", "operations") + total("faults that stay", "operations") + len(found["storms"])
    kinds = len({each["kind"] for each in found["faults"]})
    kept = total("drills", "kept")
    rows = [
        ("kills before or after a call of a command, survived", f"{crashes:,} of {crashes:,}"),
        ("kills at random, there and back, survived", f"{kills:,} of {kills:,}"),
        (f"faults of {kinds} kinds, survived", f"{struck:,} of {struck:,}"),
        ("reads by the application while its tenants moved", total("live writes", "reads")),
        ("of these failed or stale, under the rules", total("live writes", "failed or stale")),
        ("writes since a cutover that a rollback kept", f"{kept:,} of {total('drills', 'of'):,}"),
        ("generated keys that were migrated, rolled back and migrated again", total("generated keys", "keys")),
        ("interleavings of the model", total("model", "interleavings")),
        ("documents lost", 0),
        ("documents duplicated, or counted twice", 0),
        ("documents in another tenant's bucket", 0),
    ]
    return table(("", "measured"), rows)


TABLES: dict[str, Callable[[list[Figure]], str]] = {
    "crash points": crash_points,
    "loops": plain,
    "drills": plain,
    "faults": faults,
    "storms": storms,
    "faults that stay": staying,
    "surroundings": surroundings,
    "corruption": corruption,
    "live writes": plain,
    "storage under migration": plain,
    "generated keys": plain,
    "hostile keys": plain,
    "model": model,
}


def read(folder: Path) -> dict[str, list[Figure]]:
    """Return the figures of a run by table, in the order of the tests."""
    found: dict[str, list[Figure]] = defaultdict(list)
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            each = json.loads(line)
            found[each["table"]].append(each)
    return {name: sorted(figures, key=lambda each: str(each["test"])) for name, figures in found.items()}


def put(text: str, name: str, content: str, *, page: str = PAGE.stem) -> str:
    """Return the text of a page with one table replaced; `page` is the page's name without `.md`."""
    pattern = re.compile(rf"(<!-- {page}:{re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{page}.md has no place for the table {name!r}")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def main() -> None:
    """Write the page if every table was measured: its date and its totals are of one run."""
    found = read(Path(sys.argv[1]))
    if not found.keys() >= TABLES.keys():
        lacking = ", ".join(sorted(TABLES.keys() - found.keys()))
        print(f"{PAGE.name} is left as it was: a part of the tests ran, without figures of: {lacking}")
        return
    text = PAGE.read_text(encoding="utf-8")
    for name, write in TABLES.items():
        text = put(text, name, write(found[name]))
    text = put(text, "summary", summary(found))
    when = f"Measured on {datetime.now(UTC):%Y-%m-%d}: Linux {platform.release()}, Python {platform.python_version()}."
    PAGE.write_text(put(text, "machine", when), encoding="utf-8")


if __name__ == "__main__":
    main()
