"""Rows are readable at every step and everything is in its place at the end, whatever is done in whatever order.

A few short histories here; the profile `reliability` plays more and longer ones and prints its seed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from tests.model.machine import DataRoom
from tests.operations.room import Room

from rehouse.config import Settings
from rehouse.sandbox.storage_server import S3Server

FEW = settings(max_examples=15, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=300, stateful_step_count=40)


@pytest.fixture
def new_room(
    new_database: Callable[[str | None], str], s3_server: S3Server, storage_settings: Settings
) -> Callable[[], Room]:
    """A function that makes a room of its own for each history."""
    numbers = iter(range(10**6))

    def make() -> Room:
        bucket = f"model-{next(numbers)}"
        s3_server.root().create_bucket(Bucket=bucket)
        return Room(new_database("integer"), bucket, s3_server, storage_settings)

    return make


def _machine(new_room: Callable[[], Room]) -> type[DataRoom]:
    return type("DataRoomHere", (DataRoom,), {"new_room": staticmethod(new_room)})


def test_a_few_histories(new_room: Callable[[], Room]) -> None:
    run_state_machine_as_test(_machine(new_room), settings=FEW)


@pytest.mark.long
def test_many_histories(new_room: Callable[[], Room]) -> None:
    run_state_machine_as_test(_machine(new_room), settings=MANY)
