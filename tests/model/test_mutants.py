"""Each clause of the protocols, switched off: the model must find an interleaving that breaks a promise, and prints it.

A clause that no interleaving here needs is in SPARE, with what stands in for it; the test holds that this is still so.
"""

from __future__ import annotations

import pytest
from tests.model.ending import finish
from tests.model.exploring import Scenario, explore
from tests.model.forward import migrate
from tests.model.returning import rollback
from tests.model.world import Clause
from tests.model.writers import (
    duplicates,
    inserts,
    moves,
    overwrites,
    replaces,
    replaces_at_our_key,
    reuses,
    there_and_back,
    writes_late,
)

FORWARD, ENDING, BACK, AGAIN = (migrate,), (migrate, finish), (migrate, rollback), (migrate, rollback, migrate)
STOPPED = (migrate, rollback, rollback, migrate)
NEEDED = {
    Clause.SOURCE_CONDITION: Scenario(FORWARD, (there_and_back,)),
    Clause.TARGET_CONDITION: Scenario(FORWARD, (writes_late,), losses=1),
    Clause.LIVE_HOME: Scenario(FORWARD, (replaces_at_our_key,), crashes=1),
    Clause.DROPPED_IS_NOT_OURS: Scenario(FORWARD, (replaces_at_our_key,), crashes=1),
    Clause.LOOK_UNDER_LOCK: Scenario(FORWARD, (overwrites,)),
    Clause.ROW_LOCKED: Scenario(FORWARD, (overwrites,)),
    Clause.POINTER_COMPARED: Scenario(FORWARD, (replaces,)),
    Clause.TENANT_COMPARED: Scenario(FORWARD, (moves,)),
    Clause.FENCED_LOOK: Scenario(FORWARD, (replaces,), losses=1, is_calm_first=False),
    Clause.LATE_WRITES: Scenario(FORWARD, (writes_late,)),
    Clause.LATE_WRITE_ON_OUR_COPY: Scenario((migrate, migrate), (overwrites, writes_late)),
    Clause.LATE_WRITE_UNDER_LOCK: Scenario((migrate, migrate), (overwrites, writes_late)),
    Clause.UNGUARDED_COPY_UNDER_LOCK: Scenario((migrate, migrate), (overwrites, writes_late), is_guarded=False),
    Clause.LATE_WRITE_OF_ANOTHER: Scenario((migrate, migrate), (reuses,)),
    Clause.RETURN_NOT_TO_ANOTHER: Scenario(BACK, (reuses,)),
    Clause.GRACE: Scenario(ENDING),
    Clause.GRACE_OF_EVERY_LINE: Scenario(ENDING, (duplicates,), ticks=1),
    Clause.GRACE_AFTER_SWEEP: Scenario(ENDING, (duplicates,), ticks=1),
    Clause.RELEASED_FIRST: Scenario(ENDING, ticks=1),
    Clause.ROWS_ASKED_FIRST: Scenario(ENDING, (duplicates,), ticks=1),
    Clause.ROWS_ASKED_AFTER: Scenario(ENDING, (duplicates,), after_zero=True),
    Clause.DELETE_CONDITION: Scenario(ENDING, (writes_late,), after_zero=True),
    Clause.HOME_AS_COPIED: Scenario(BACK, (overwrites,)),
    Clause.RETURN_LOOK_UNDER_LOCK: Scenario(BACK, (overwrites,)),
    Clause.RETURNED_KEY_FREE: Scenario(BACK, (replaces,), crashes=1),
    Clause.LINE_BACK_STANDS: Scenario(BACK, (writes_late,), crashes=1),
    Clause.ALL_COMPARED: Scenario(BACK, (overwrites,), crashes=1, is_in_one_second=True),
    Clause.LATE_WRITES_AT_HOME: Scenario(BACK, (writes_late,)),
    Clause.LATE_RETURN_UNDER_LOCK: Scenario((migrate, rollback, rollback), (overwrites, writes_late)),
    Clause.STAYS_LIVE: Scenario(AGAIN, (writes_late,), ticks=1),
    Clause.DOUBTED_WHEN_GIVEN_UP: Scenario(STOPPED, (writes_late,), crashes=2, gives_up=True),
}
SPARE = {
    Clause.CAUGHT_UP: (
        "the home stays live: the write stays there and is told; only, a person has to move it",
        Scenario(AGAIN, (writes_late,), ticks=1),
    ),
    Clause.RETURNS_GIVEN_UP: (
        "the next migration makes the flip back itself and moves the document once more",
        Scenario(AGAIN, (overwrites,), crashes=1, gives_up=True),
    ),
    Clause.OLD_ONE_LOOKED_AT: (
        "both versions are kept in any case; it is for telling of more of them",
        Scenario(BACK, (overwrites, writes_late)),
    ),
    Clause.FENCE: (
        "the compared pointer, the look under the lock and the conditions of every copy hold without it",
        Scenario(FORWARD, losses=1),
    ),
    Clause.HOME_BEFORE_FLIPS: (
        "an upload into the shared bucket is swept by the next run; only, the sweeps would not come to an end",
        Scenario(FORWARD, (inserts,), crashes=1),
    ),
    Clause.HOME_RETURNED_FIRST: (
        "as the home before the flips, on the way back",
        Scenario(BACK, (inserts,)),
    ),
    Clause.GRACE_STARTS_AGAIN: (
        "whoever wrote late had read the pointer before the first flip",
        Scenario(ENDING, (writes_late,), ticks=2),
    ),
    Clause.HOME_PROVEN: (
        "it is against damage in the home, not against an interleaving",
        Scenario(ENDING, (overwrites,), ticks=1),
    ),
    Clause.ERRORS_STAY: (
        "the look at the source and the condition of the removal refuse what is not the recorded object",
        Scenario(ENDING, (writes_late,), ticks=1),
    ),
    Clause.HEAD_FIRST: (
        "the condition of the removal; it is for servers that do not know that condition",
        Scenario(ENDING, (writes_late,), after_zero=True),
    ),
}


def without(clause: Clause, scenario: Scenario) -> Scenario:
    """The same scenario with an operator that forgets a clause."""
    return Scenario(**{**vars(scenario), "off": frozenset({clause})})


@pytest.mark.parametrize("clause", NEEDED, ids=lambda clause: clause.name)
def test_without_this_clause_a_promise_is_broken(clause: Clause) -> None:
    found = explore(without(clause, NEEDED[clause]))
    assert found.violation, f"{found.states} states, and nothing was found"
    print(found)


@pytest.mark.parametrize("clause", SPARE, ids=lambda clause: clause.name)
def test_something_else_stands_in_for_this_clause(clause: Clause) -> None:
    reason, scenario = SPARE[clause]
    found = explore(without(clause, scenario))
    assert found.violation is None, f"no longer true: {reason}\n{found}"


def test_look_and_condition_of_a_removal_are_each_enough() -> None:
    """Without the look and without the condition a late write is removed."""
    both = frozenset({Clause.HEAD_FIRST, Clause.DELETE_CONDITION})
    assert explore(Scenario(ENDING, (writes_late,), after_zero=True, off=both)).violation


def test_every_clause_is_tried() -> None:
    assert {*NEEDED, *SPARE} == set(Clause)
    assert not NEEDED.keys() & SPARE.keys()
