"""The words of the enums in SQL: each state, phase, status and event that a query names is one, and groups are named once."""

from __future__ import annotations

import re

import pytest

from rehouse.core.lifecycle import STATES, DocumentState, Event, Phase, Status
from rehouse.core.uploads import GrantState
from rehouse.ledger import queries

LITERAL = r"'([a-z_]+)'"
NAMED = re.compile(
    rf"\b(\w+\.)?(state|phase|status|event)\b\s*(?:=|<>|IS (?:NOT )?DISTINCT FROM)\s*{LITERAL}"
    rf"|\b(\w+\.)?(state|phase|status|event)\b IN \(({LITERAL}(?:, {LITERAL})*)\)"
)
WORDS = {
    "state": {*DocumentState, *GrantState},
    "phase": {*Phase},
    "status": {*Status},
    "event": {*Event},
}


def named(text: str) -> set[tuple[str, str]]:
    """Return (column, word) of each comparison with a word."""
    found: set[tuple[str, str]] = set()
    for match in NAMED.finditer(text):
        column, words = match[2] or match[5], match[3] or match[6]
        found |= {(column, word) for word in re.findall(r"[a-z_]+", words)}
    return found


def test_the_look_finds_comparisons() -> None:
    assert named("m.state = 'copied' AND phase IN ('planned', 'x') AND status <> 'y'") == {
        ("state", "copied"), ("phase", "planned"), ("phase", "x"), ("status", "y"),
    }  # fmt: skip


@pytest.mark.parametrize("name", queries.sources())
def test_every_word_of_an_enum_is_one(name: str) -> None:
    found = named(queries.sources()[name])
    assert [(column, word) for column, word in sorted(found) if word not in WORDS[column]] == []


def test_states_that_are_asked_for_together_are_named_once() -> None:
    groups = {frozenset(states): name for name, states in STATES.items()}
    spelt = [
        (name, groups[words])
        for name, text in queries.sources().items()
        for found in re.findall(r"\bstate IN \(([^)]*)\)", text)
        if (words := frozenset(re.findall(r"[a-z_]+", found))) in groups
    ]
    assert spelt == []
