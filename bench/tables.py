"""Results as tables: Markdown, which reads well on a terminal too. And docs/performance.md, whose tables are generated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import across

PAGE = Path("docs/performance.md")
ORDER = (
    "copy-0ms",
    "copy-50ms",
    "copy-tls",
    "migrate",
    "verify",
    "million",
    "tenants",
    "usage",
    "usage-rows",
    "limiter",
    "beside",
    "objects",
    "objects-large",
)
CHARTS = {
    "copy-0ms": ("performance-copy.png", "CPU a copied object, by client, on a logarithmic scale"),
    "million": ("performance-memory.png", "Memory of rehouse over a whole run, of one tenant and of many"),
    "usage": ("performance-usage.png", "Seconds to load documents, by trigger, on logarithmic scales"),
    "limiter": ("performance-limiter.png", "Requests a second against what was allowed, fixed and doubling"),
}
"""Result → the chart's file beside the page, and what it shows. A result that was not measured has none."""

REACHED = {True: "yes", False: "**no**", None: "–"}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns are aligned.

    >>> print(table(["a", "b"], [["one", "2"]]))
    | a   | b |
    |-----|---|
    | one | 2 |
    """
    cells = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def shown(result: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
    """Return one result: its title, its table, when it was made (if the page's header says something else), its notes."""
    parts = [f"### {result['title']}"]
    if result["rows"]:
        parts.append(table(result["columns"], result["rows"]))
        parts += _differing(result, header) if header else []
    if result["notes"]:
        parts.append("\n".join(f"- {note}" for note in result["notes"]))
    return "\n\n".join(parts)


def _differing(result: Mapping[str, Any], header: Mapping[str, Any]) -> list[str]:
    mine, its = result["measured"], header["measured"]
    if (result["rounds"], mine["commit"], mine["machine"]) == (header["rounds"], its["commit"], its["machine"]):
        return []
    changed = [f"{name} {fact}" for name, fact in mine["machine"].items() if fact != its["machine"].get(name)]
    elsewhere = "".join(f", {each}" for each in changed if not each.startswith("date "))
    rounds = "1 round" if result["rounds"] == 1 else f"{result['rounds']} rounds"
    return [
        f"*Measured on {mine['machine']['date']}, {rounds}, commit {mine['commit']}, load {mine['load']}{elsewhere}.*"
    ]


def goals(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table of the goals: wanted, measured, reached; at its end those that compare two benchmarks."""
    every = [goal for result in results.values() for goal in result["goals"]] + across.goals(results)
    rows = [[goal["subject"], goal["wanted"], goal["measured"], REACHED[goal["reached"]]] for goal in every]
    return table(["goal", "wanted", "measured", "reached"], rows)


def machine(found: Mapping[str, Any]) -> str:
    """Return the sentence about the machine, date, commit and rounds of what was measured last."""
    facts = found["measured"]["machine"]
    versions = ", ".join(f"{name} {facts[name]}" for name in list(facts)[4:])
    small = " **Small sizes: a trial, not a measurement.**" if found["quick"] else ""
    return (
        f"Measured on {facts['date']} at commit {found['measured']['commit']}: {facts['processor']}, {facts['memory']}, "
        f"{facts['system']}; {versions}. Rounds: {found['rounds']}; medians, with the smallest and the largest in "
        f"brackets. A table that was measured otherwise says so. Load before: {found['measured']['load']}.{small}"
    )


def write_page(found: Mapping[str, Any], page: Path = PAGE) -> None:
    """Put the tables into the page, between the markers of each; where nothing was measured, that stands there."""
    text = page.read_text(encoding="utf-8")
    results = found["results"]
    blocks = {"machine": machine(found), "goals": goals(results)} | dict.fromkeys(ORDER, "Not measured.")
    for name, result in results.items():
        chart = CHARTS.get(name)
        drawn = chart and result["figures"] and (page.parent / chart[0]).exists()
        blocks[name] = shown(result, found) + (f"\n\n![{chart[1]}]({chart[0]})" if chart and drawn else "")
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text)  # type: ignore[misc]
    page.write_text(text, encoding="utf-8")
