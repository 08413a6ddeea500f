"""Every interleaving of one document, one writer and one operator keeps what is promised; so do two writers, crashes, lost locks.

Readers need no process of their own: whatever a row said since the grace began may still be read through, so each such
pointer must lead to its object, in that version or a newer one, after every single step.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from tests.model.ending import finish
from tests.model.exploring import Command, Play, Scenario, explore
from tests.model.forward import migrate
from tests.model.returning import rollback
from tests.model.writers import (
    WRITERS,
    Writer,
    inserts,
    overwrites,
    replaces,
    reuses,
    there_and_back,
    writes_late,
)

from rehouse.core.lifecycle import MOVES, Event, Phase, after

FORWARD, ENDING, BACK, AGAIN = (migrate,), (migrate, finish), (migrate, rollback), (migrate, rollback, migrate)
SWEPT, BACK_TWICE = (migrate, migrate), (migrate, rollback, rollback)
ENDING_AGAIN, BACK_AGAIN = (*AGAIN, finish), (*AGAIN, rollback)
CALM = [writer for writer in WRITERS if writer is not there_and_back]

PAIRS = list(itertools.combinations((overwrites, writes_late, inserts), 2))
"""Whoever overwrites an object that two rows share writes to both documents: that is no promise about one of them."""


Holds = Callable[[Scenario], None]


@pytest.fixture
def holds(figure: Callable[..., None]) -> Holds:
    """Fail with the interleaving that breaks a promise; else note how much was looked at."""

    def hold(scenario: Scenario) -> None:
        found = explore(scenario)
        assert found.violation is None, str(found)
        names = ", ".join(command.__name__ for command in scenario.commands)
        figure("model", commands=names, states=found.states, interleavings=found.interleavings)

    return hold


def named(value: object) -> str | None:
    """Names for pytest."""
    if isinstance(value, tuple):
        return "-".join(each.__name__ for each in value)
    return getattr(value, "__name__", None)


@pytest.mark.parametrize("writer", WRITERS, ids=named)
@pytest.mark.parametrize("commands", [FORWARD, BACK], ids=named)
def test_a_writer_and_an_operator(holds: Holds, commands: tuple[Command, ...], writer: Writer) -> None:
    holds(Scenario(commands, (writer,)))


@pytest.mark.parametrize("writer", CALM, ids=named)
@pytest.mark.parametrize("commands", [ENDING, AGAIN], ids=named)
def test_a_writer_and_an_operator_and_the_grace(holds: Holds, commands: tuple[Command, ...], writer: Writer) -> None:
    holds(Scenario(commands, (writer,), ticks=1))


@pytest.mark.parametrize("writer", CALM, ids=named)
def test_without_any_grace_nothing_is_lost_either(holds: Holds, writer: Writer) -> None:
    holds(Scenario(ENDING, (writer,), after_zero=True))


@pytest.mark.parametrize("writer", CALM, ids=named)
def test_an_operator_that_dies_anywhere_and_begins_again(holds: Holds, writer: Writer) -> None:
    holds(Scenario(FORWARD, (writer,), crashes=1))


@pytest.mark.parametrize("commands", [FORWARD, BACK, SWEPT, BACK_TWICE], ids=named)
def test_writers_on_both_sides_are_a_conflict_and_both_stay(holds: Holds, commands: tuple[Command, ...]) -> None:
    holds(Scenario(commands, (overwrites, writes_late)))


@pytest.mark.parametrize("commands", [SWEPT, BACK], ids=named)
def test_late_writes_where_s3_ignores_the_targets_condition(holds: Holds, commands: tuple[Command, ...]) -> None:
    holds(Scenario(commands, (overwrites, writes_late), is_guarded=False))


@pytest.mark.parametrize(
    ("commands", "writers"), [(SWEPT, (overwrites, writes_late)), (BACK_TWICE, (writes_late,))], ids=named
)
def test_an_operator_may_die_between_a_late_copy_and_its_line(
    holds: Holds, commands: tuple[Command, ...], writers: tuple[Writer, ...]
) -> None:
    holds(Scenario(commands, writers, crashes=1))


@pytest.mark.parametrize("writer", [overwrites, replaces, inserts], ids=named)
@pytest.mark.parametrize("commands", [BACK, BACK_TWICE], ids=named)
def test_a_copy_of_the_same_second_is_made_once(holds: Holds, commands: tuple[Command, ...], writer: Writer) -> None:
    holds(Scenario(commands, (writer,), crashes=1, is_in_one_second=True))


@pytest.mark.parametrize("writer", CALM, ids=named)
def test_a_rollback_that_was_interrupted_is_given_up(holds: Holds, writer: Writer) -> None:
    holds(Scenario(AGAIN, (writer,), crashes=1, gives_up=True))


@pytest.mark.long
@pytest.mark.parametrize("writer", [overwrites, replaces, writes_late], ids=named)
def test_a_rollback_that_was_interrupted_twice_is_given_up(holds: Holds, writer: Writer) -> None:
    holds(Scenario((migrate, rollback, rollback, migrate), (writer,), crashes=2, gives_up=True))


@pytest.mark.long
@pytest.mark.parametrize("writer", CALM, ids=named)
def test_to_the_end_after_a_way_back(holds: Holds, writer: Writer) -> None:
    holds(Scenario(ENDING_AGAIN, (writer,), ticks=2))


@pytest.mark.long
@pytest.mark.parametrize("writer", [writer for writer in CALM if "late" not in writer.__name__], ids=named)
def test_there_and_back_twice(holds: Holds, writer: Writer) -> None:
    """A write that lands late at home while the tenant migrates again is told until the second way back: kept, not told."""
    holds(Scenario(BACK_AGAIN, (writer,), ticks=1))


@pytest.mark.long
@pytest.mark.parametrize("writer", WRITERS, ids=named)
@pytest.mark.parametrize("commands", [ENDING, BACK, AGAIN], ids=named)
def test_the_whole_way_with_an_operator_that_dies(holds: Holds, commands: tuple[Command, ...], writer: Writer) -> None:
    holds(Scenario(commands, (writer,), crashes=1, ticks=1))


@pytest.mark.long
@pytest.mark.parametrize("writer", [writer for writer in CALM if writer is not reuses], ids=named)
@pytest.mark.parametrize("commands", [FORWARD, AGAIN], ids=named)
def test_a_paused_run_without_its_lock_yields_to_the_next(
    holds: Holds, commands: tuple[Command, ...], writer: Writer
) -> None:
    """Not beside a key that is used again during a rollback: that limit, told in decision 24, is wider there."""
    holds(Scenario(commands, (writer,), losses=1))


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS, ids=named)
@pytest.mark.parametrize("commands", [FORWARD, BACK, ENDING], ids=named)
def test_pairs_of_writers(holds: Holds, commands: tuple[Command, ...], pair: tuple[Writer, Writer]) -> None:
    holds(Scenario(commands, pair, ticks=1))


def test_the_walk_skips_what_was_seen_and_misses_nothing() -> None:
    """The same small world, walked without remembering anything, has as many interleavings."""
    scenario = Scenario(FORWARD, (replaces,))

    def walk(schedule: list[str]) -> int:
        play = Play(scenario)
        for choice in schedule:
            play.take(choice)
        choices = play.choices()
        return sum(walk([*schedule, choice]) for choice in choices) if choices else 1

    assert walk([]) == explore(scenario).interleavings


@pytest.mark.parametrize("commands", [FORWARD, BACK], ids=named)
def test_tens_of_thousands_of_interleavings(commands: tuple[Command, ...]) -> None:
    """One document beside each of the writers, and beside one that locks while the operator dies once."""
    scenarios = [Scenario(commands, (writer,)) for writer in WRITERS] + [Scenario(commands, (overwrites,), crashes=1)]
    found = [explore(scenario) for scenario in scenarios]
    assert sum(each.interleavings for each in found) > 50_000
    assert not [each for each in found if each.violation is not None]


def test_every_move_can_be_made_and_every_phase_leads_on() -> None:
    reached, made, waiting = {Phase.PLANNED}, set[tuple[Phase, Event]](), [Phase.PLANNED]
    while waiting:
        phase = waiting.pop()
        for event in MOVES[phase]:
            made.add((phase, event))
            to = after(phase, event)
            waiting += [to] if to not in reached else []
            reached.add(to)
    assert reached == set(Phase)
    assert made == {(phase, event) for phase, events in MOVES.items() for event in events}
    assert [phase for phase in Phase if not MOVES[phase]] == [Phase.FINISHED]
