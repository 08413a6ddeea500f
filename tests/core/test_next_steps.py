"""What to do after a command: always a command of rehouse, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.lifecycle import Phase
from rehouse.core.next_steps import after_migration, after_plan

slugs = st.text("abc", min_size=1, max_size=3)


@given(st.dictionaries(slugs, st.integers(0, 9)), st.booleans())
def test_after_a_plan_the_smallest_tenant_goes_first(to_copy: dict[str, int], is_everybody: bool) -> None:
    told = after_plan(to_copy, is_everybody=is_everybody)
    counts = [count for count in to_copy.values() if count]
    assert (told is None) == (not counts)
    if told:
        assert to_copy[told.split()[2]] == min(counts)
        assert ("--until verified" in told) == is_everybody


@pytest.mark.parametrize(
    ("phases", "quarantined", "expected"),
    [
        ({}, [], None),
        ({"a": Phase.VERIFIED}, [], "rehouse cutover a"),
        ({"a": Phase.VERIFIED, "b": Phase.CUT_OVER}, ["a"], "rehouse status a --errors"),
        ({"a": Phase.PROVISIONED}, [], "rehouse migrate a"),
        ({"a": None, "b": Phase.COPIED}, [], "rehouse migrate-all"),
        ({"a": Phase.CUT_OVER}, [], "rehouse verify a --deep"),
        ({"a": Phase.CUT_OVER, "b": Phase.CUT_OVER}, ["b", "a"], "rehouse status a --errors"),
        ({"a": Phase.CUT_OVER, "b": Phase.RELEASED}, [], "rehouse verify-all --deep"),
    ],
)
def test_what_to_do_after_a_migration(
    phases: dict[str, Phase | None], quarantined: list[str], expected: str | None
) -> None:
    assert after_migration(phases, quarantined) == expected


def test_a_slug_is_quoted_for_the_shell() -> None:
    assert after_plan({"it's & mine": 1}, is_everybody=False) == """rehouse migrate 'it'"'"'s & mine'"""
