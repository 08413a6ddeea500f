"""An entry of a reference: a name that can be linked to, what it means, and its facts; and the tables that it is made of.

Tables suit a screen of code; a phone shows a list of entries better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_CELLS = re.compile(r"(?<!\\)\|")


class Entry(NamedTuple):
    """`name` and `facts` are Markdown, in code where they are code; `anchor` is the fragment of its address."""

    name: str
    anchor: str
    meaning: str
    facts: tuple[str, ...]


class Table(NamedTuple):
    """A table of a page: its text as it stands there, its rows without the heading."""

    text: str
    rows: tuple[tuple[str, ...], ...]


def definition_list(entries: Iterable[Entry]) -> str:
    """Return entries as a definition list of Markdown.

    >>> print(definition_list([Entry("`--yes`", "--yes", "Skip the prompt.", ("switch",))]))
    `--yes` { #--yes }
    :   Skip the prompt.
    <BLANKLINE>
        switch
        { .facts }
    <BLANKLINE>
    """
    return "\n".join(
        f"{each.name} {{ #{each.anchor} }}\n:   {each.meaning}\n\n    {' · '.join(each.facts)}\n    {{ .facts }}\n"
        for each in entries
    )


def find_table(text: str, heading: tuple[str, ...]) -> Table | None:
    """Return the first table of a page with this heading, None if there is none."""
    lines = text.splitlines(keepends=True)
    for start, line in enumerate(lines):
        if line.startswith("|") and _cells(line) == heading:
            end = next((at for at in range(start, len(lines)) if not lines[at].startswith("|")), len(lines))
            return Table("".join(lines[start:end]), tuple(_cells(each) for each in lines[start + 2 : end]))
    return None


def _cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in _CELLS.split(line.strip().strip("|")))
