"""Results as tables: Markdown, which reads well on a terminal too. And docs/performance.md, whose tables are generated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = Path("docs/performance.md")
ORDER = ("copy-0ms", "copy-50ms", "migrate", "verify", "million", "tenants", "usage", "limiter")
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


def shown(result: Mapping[str, Any]) -> str:
    """Return one result: its title, its table, its notes."""
    parts = [f"### {result['title']}"]
    if result["rows"]:
        parts.append(table(result["columns"], result["rows"]))
    if result["notes"]:
        parts.append("\n".join(f"- {note}" for note in result["notes"]))
    return "\n\n".join(parts)


def goals(results: Iterable[Mapping[str, Any]]) -> str:
    """Return the table of the goals: wanted, measured, reached."""
    rows = [
        [goal["subject"], goal["wanted"], goal["measured"], REACHED[goal["reached"]]]
        for result in results
        for goal in result["goals"]
    ]
    return table(["goal", "wanted", "measured", "reached"], rows)


def machine(found: Mapping[str, Any]) -> str:
    """Return the sentence about machine, date and rounds."""
    facts = found["machine"]
    versions = ", ".join(f"{name} {facts[name]}" for name in list(facts)[4:])
    small = " **Small sizes: a trial, not a measurement.**" if found["quick"] else ""
    return (
        f"Measured on {facts['date']}: {facts['processor']}, {facts['memory']}, {facts['system']}; {versions}. "
        f"Rounds: {found['rounds']}; medians, with the smallest and the largest in brackets.{small}"
    )


def write_page(found: Mapping[str, Any]) -> None:
    """Put the tables into docs/performance.md, between the markers of each."""
    text = PAGE.read_text(encoding="utf-8")
    results = found["results"]
    blocks = {"machine": machine(found), "goals": goals(results.values())}
    for name, result in results.items():
        chart = CHARTS.get(name)
        picture = f"\n\n![{chart[1]}]({chart[0]})" if chart and (PAGE.parent / chart[0]).exists() else ""
        blocks[name] = shown(result) + picture
    for name, block in blocks.items():
        marked = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda match, block=block: f"{match[1]}{block}\n{match[2]}", text)  # type: ignore[misc]
    PAGE.write_text(text, encoding="utf-8")
