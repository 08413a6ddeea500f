"""The table of moves is the architecture's picture, nothing moves outside it, and the closing status is its truth table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.errors import Halt
from rehouse.core.lifecycle import (
    MOVES,
    Event,
    Phase,
    Status,
    after,
    closing_status,
    diagram,
    is_at_least,
    was_verified,
)

FORWARD = ["planned", "provisioned", "copied", "verified", "cut_over", "released", "finished"]
PICTURE = {
    ("planned", "bucket_ready", "provisioned"),
    ("provisioned", "all_copied", "copied"),
    ("copied", "all_matched", "verified"),
    ("copied", "mismatch_found", "provisioned"),
    ("copied", "changes_found", "provisioned"),
    ("verified", "changes_found", "provisioned"),
    ("verified", "home_switched", "cut_over"),
    ("cut_over", "sources_released", "released"),
    ("released", "sources_removed", "finished"),
    *((phase, "home_returned", "rolled_back") for phase in FORWARD[:5]),
    ("rolled_back", "planned_again", "planned"),
}


def test_the_moves_are_the_picture() -> None:
    moves = {(phase, event, to) for phase, found in MOVES.items() for event, to in found.items()}
    assert moves == PICTURE
    assert set(MOVES) == set(Phase)


@given(st.sampled_from(Phase), st.sampled_from(Event))
def test_after_follows_the_table_and_halts_everywhere_else(phase: Phase, event: Event) -> None:
    possible = {(before, happened): to for before, happened, to in PICTURE}
    if (phase, event) in possible:
        assert after(phase, event) == possible[phase, event]
        return
    with pytest.raises(Halt) as caught:
        after(phase, event)
    assert phase in caught.value.message
    assert event in caught.value.message
    assert caught.value.hint


@given(st.lists(st.sampled_from(Event), max_size=30))
def test_nothing_is_removed_before_release_nor_comes_back_after(events: list[Event]) -> None:
    phase, visited = Phase.PLANNED, [Phase.PLANNED]
    for event in events:
        if event in MOVES[phase]:
            phase = after(phase, event)
            visited.append(phase)
    if Phase.FINISHED in visited:
        assert visited[visited.index(Phase.FINISHED) - 1] is Phase.RELEASED
    if Phase.RELEASED in visited:
        assert set(visited[visited.index(Phase.RELEASED) :]) <= {Phase.RELEASED, Phase.FINISHED}
    if Phase.CUT_OVER in visited:
        assert visited[visited.index(Phase.CUT_OVER) - 1] is Phase.VERIFIED


def test_the_whole_way_forward_is_open() -> None:
    way = ["bucket_ready", "all_copied", "all_matched", "home_switched", "sources_released", "sources_removed"]
    phase, visited = Phase.PLANNED, ["planned"]
    for event in way:
        phase = after(phase, Event(event))
        visited.append(phase)
    assert visited == FORWARD


@given(st.sampled_from(Phase), st.sampled_from(FORWARD))
def test_at_least_is_the_order_of_the_way_forward(phase: Phase, other: str) -> None:
    expected = phase != "rolled_back" and FORWARD.index(phase) >= FORWARD.index(other)
    assert is_at_least(phase, Phase(other)) is expected


def _fits(cell: str, value: int) -> bool:
    return {"any": True, "> 0": value > 0, "0": value == 0}[cell]


def _is_phase(cell: str, phase: Phase) -> bool:
    if cell == "cut_over, later":
        return phase in {"cut_over", "released", "finished"}
    return cell in {"any", "anything else"} or phase == cell


@given(st.sampled_from(Phase), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_the_closing_status_is_its_tables_first_match(
    phase: Phase, errors: int, waiting: int, interrupted: bool
) -> None:
    lines = truth_table(closing_status)
    assert len(lines) == 5
    first = next(
        line
        for line in lines
        if _is_phase(line[0], phase)
        and _fits(line[1], errors)
        and _fits(line[2], waiting)
        and line[3] in {"any", "yes" if interrupted else "no"}
    )
    assert closing_status(phase, errors=errors, waiting=waiting, interrupted=interrupted) == first[4]


@given(st.sampled_from(Phase), st.integers(0, 5), st.integers(0, 5), st.booleans())
def test_a_run_with_errors_never_says_that_it_is_done(
    phase: Phase, errors: int, waiting: int, interrupted: bool
) -> None:
    if errors or interrupted:
        status = closing_status(phase, errors=errors, waiting=waiting, interrupted=interrupted)
        assert status not in {Status.COMPLETED, Status.ROLLED_BACK}


def test_the_diagram_draws_every_move_once() -> None:
    lines = [line.strip() for line in diagram().splitlines()]
    assert lines[:2] == ["stateDiagram-v2", "[*] --> planned"]
    assert sorted(lines[2:-1]) == sorted(f"{before} --> {to}: {event}" for before, event, to in PICTURE)
    assert lines[-1] == "finished --> [*]"


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        ([], False),
        ([None, "provisioned", "copied"], False),
        (["provisioned", "copied", "verified"], True),
        (["provisioned", "copied", "verified", "provisioned"], True),
        (["verified", "cut_over", "rolled_back"], False),
        (["verified", "cut_over", "rolled_back", "planned", "provisioned"], False),
        (["rolled_back", "planned", "provisioned", "copied", "verified", "provisioned", "copied"], True),
    ],
)
def test_a_tenant_was_verified_since_it_was_planned_last(phases, expected):
    assert was_verified(phases) is expected
