"""Rows are readable at every step and everything is in its place at the end, whatever is done in whatever order.

A few short histories here, always the same; the long ones are others each time, and a failure prints how to play it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.model.machine import DataRoom
from tests.support.data_room import Room

from rehouse.config import Settings
from rehouse.sandbox.s3_server import S3Server

MANY = settings(
    max_examples=100, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
FEW = settings(MANY, max_examples=8, stateful_step_count=20, derandomize=True, database=None)


@pytest.fixture
def new_room(
    new_database: Callable[[str | None], str], s3_server: S3Server, storage_settings: Settings
) -> Callable[[], Room]:
    """A function that makes a room of its own for each history."""
    numbers = iter(range(10**6))

    def make() -> Room:
        bucket = f"model-{next(numbers)}"
        s3_server.root().create_bucket(Bucket=bucket)
        room = Room(new_database("integer"), bucket, s3_server, storage_settings)
        room.tenant("acme")
        return room

    return make


def _machine(new_room: Callable[[], Room]) -> type[DataRoom]:
    return type("DataRoomHere", (DataRoom,), {"new_room": staticmethod(new_room), "reached": Counter()})


@pytest.mark.long
@pytest.mark.sample
def test_a_few_histories(new_room: Callable[[], Room]) -> None:
    machine = _machine(new_room)
    run_state_machine_as_test(machine, settings=FEW)
    print(machine.reached)
    assert machine.reached["rolled back"] >= 5
    assert machine.reached["migrated again"] >= 1
    assert machine.reached["conflicts"] >= 1
    assert machine.reached["killed"] >= 2
    assert machine.reached["finished"] >= 1


@pytest.mark.long
def test_many_histories(new_room: Callable[[], Room]) -> None:
    machine = _machine(new_room)
    run_state_machine_as_test(machine, settings=MANY)
    print(machine.reached)
    assert min(machine.reached[each] for each in ("rolled back", "migrated again", "conflicts", "killed")) >= 5
    assert machine.reached["finished"] >= 3
