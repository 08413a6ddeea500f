"""What is published and what a watcher makes of it: only changes are sent, rates are never negative, the dead are told once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.progress import DONE, Meter, Progress
from rehouse.core.watching import LATE_SECONDS, Counts, Life, PublishedRow, WatchState, changes, life, snapshot, total

counts = st.integers(0, 1000)
events = st.builds(
    Progress,
    subject=st.sampled_from(["a", "b", "c"]),
    step=st.sampled_from(["copy", "verify", "flip", DONE]),
    documents=counts,
    documents_total=st.none() | counts,
    documents_failed=counts,
)


def row(
    documents: int = 0, *, run_id: str = "r", subject: str = "", age: float = 0.0, is_held: bool = True
) -> PublishedRow:
    whole = Counts(subject, tenants_done=0, tenants=1, documents=documents, documents_total=100)
    part = Counts(subject, "copy", documents=documents, documents_total=100)
    return PublishedRow(run_id, part if subject else whole, "migrate", "host", 10.0, age, is_held)


@pytest.mark.parametrize(("lock", "age", "expected"), truth_table(life))
def test_life_is_its_table(lock: str, age: str, expected: str) -> None:
    seconds = LATE_SECONDS + 0.1 if age == "more" else LATE_SECONDS
    assert life(is_held=lock == "held", age=seconds) is Life[expected]


@given(st.lists(events, max_size=40), st.integers(0, 40))
def test_changes_lead_from_one_snapshot_to_the_next(told: list[Progress], cut: int) -> None:
    meter = Meter(0.0)
    for event in told[:cut]:
        meter.take(event, 1.0)
    before = snapshot(meter.overall(1.0), list(meter.at_work.values()))
    for event in told[cut:]:
        meter.take(event, 2.0)
    after = snapshot(meter.overall(2.0), list(meter.at_work.values()))
    changed, ended = changes(before, after)
    kept = {subject: each for subject, each in before.items() if subject not in ended}
    assert kept | {each.subject: each for each in changed} == after
    assert after[""].documents >= before[""].documents
    assert after[""].documents_failed >= before[""].documents_failed


def test_time_alone_changes_nothing() -> None:
    meter = Meter(0.0)
    meter.take(Progress("a", "copy", 1, 10), 1.0)
    now, later = (snapshot(meter.overall(at), list(meter.at_work.values())) for at in (1.0, 900.0))
    assert changes(now, later) == ([], [])


def test_a_long_slug_is_cut() -> None:
    found = snapshot(Meter(0.0).overall(0.0), [Progress("s" * 3000, "copy"), Progress("", "list")])
    assert [len(subject) for subject in found] == [0, 200]


@given(st.lists(st.tuples(counts, st.floats(0, 3)), min_size=1, max_size=30))
def test_rates_are_never_negative(seen: list[tuple[int, float]]) -> None:
    watched, now = WatchState(), 0.0
    for documents, pause in seen:
        now += pause
        [run] = watched.take([row(documents), row(documents, subject="a")], {}, now).alive
        assert run.rate >= 0
        assert run.documents <= run.documents_total
        assert run.seconds_left is None or run.seconds_left >= 0
        assert all(each.rate >= 0 for each in run.at_work)


def test_a_rate_is_that_of_the_last_seconds() -> None:
    watched = WatchState()
    for second in range(30):
        look = watched.take([row(2 * second), row(2 * second, subject="a")], {"a": "copied"}, float(second))
    [run] = look.alive
    assert (run.rate, run.seconds_left) == (2.0, 21.0)
    assert [(each.subject, each.phase, each.rate) for each in run.at_work] == [("a", "copied", 2.0)]
    flipping = row(0, subject="a")
    flipping = replace(flipping, counts=replace(flipping.counts, step="flip"))
    [run] = watched.take([row(58), flipping], {}, 30.0).alive
    assert run.at_work[0].rate == 0.0, "another step is counted anew"


def test_a_command_that_ends_is_told_once() -> None:
    watched = WatchState()
    assert watched.take([row(1)], {}, 0.0).ended == ()
    [ended] = watched.take([], {}, 1.0).ended
    assert (ended.run_id, ended.is_killed) == ("r", False)
    assert watched.take([], {}, 2.0).ended == ()


def test_a_killed_command_is_told_once_and_shown_until_cleared() -> None:
    watched = WatchState()
    watched.take([row(1)], {}, 0.0)
    assert watched.take([row(1, is_held=False)], {}, 1.0).ended == (), "it may be about to end"
    dead = row(1, is_held=False, age=6.0)
    look = watched.take([dead], {}, 7.0)
    assert [(each.run_id, each.is_killed) for each in look.ended] == [("r", True)]
    assert (look.alive, [run.life for run in look.killed]) == ((), [Life.KILLED])
    assert watched.take([dead], {}, 8.0).ended == ()
    assert watched.take([], {}, 9.0).ended == (), "the next command has deleted its rows"


def test_one_fresh_row_is_enough_to_be_alive() -> None:
    [run] = WatchState().take([row(1, is_held=False, age=60.0), row(1, subject="a", is_held=False)], {}, 0.0).alive
    assert (run.life, run.quiet_seconds) == (Life.RUNNING, 0.0)


def test_commands_add_up() -> None:
    look = WatchState().take([row(10, run_id="r"), row(30, run_id="s")], {}, 0.0)
    found = total(look.alive)
    assert (found.tenants_total, found.documents, found.documents_total, found.seconds_left) == (2, 40, 200, None)
