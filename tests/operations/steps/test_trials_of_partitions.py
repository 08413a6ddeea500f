"""A row of each partition is tried, before the cutover and before a rollback: one partition that refuses holds all of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.data_room import Room
from tests.support.refusing_rows import trigger

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.report import ReturnReport
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.steps import trials

IDS = tuple("abcdefgh")
PARTITIONS = ("first_a", "first_b")
BODIES = {
    "RAISE EXCEPTION 'this partition is kept';": "this partition is kept",
    "RETURN NULL;": "left the row as it was",
}


@pytest.fixture
def spread(partitioned: Room) -> Room:
    """A room with verified documents in two partitions."""
    partitioned.documents(*IDS)
    partitioned.migrate(until=Phase.VERIFIED)
    assert partitioned.sql("SELECT DISTINCT tableoid::regclass::text FROM documents ORDER BY 1") == [
        (each,) for each in PARTITIONS
    ]
    return partitioned


def roll_back(room: Room) -> ReturnReport:
    with room.services() as services:
        return roll_back_one(services, services.ledger.tenant("acme"))


def pointers(room: Room) -> set[str | None]:
    return {room.pointer(each)[0] for each in IDS}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_partition_that_refuses_holds_the_cutover(spread: Room, partition: str, body: str) -> None:
    trigger(spread, partition, body)
    with pytest.raises(Refused, match=f"nothing was switched: no row in {partition} can be flipped.*{BODIES[body]}"):
        spread.migrate()
    assert spread.sql("SELECT aws_bucket_name FROM tenants") == [(None,)]
    assert (pointers(spread), set(spread.states().values())) == ({spread.shared}, {"copied"})
    spread.sql(f"DROP TRIGGER guard ON {partition}")
    assert spread.migrate().status is Status.COMPLETED


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_partition_that_refuses_holds_the_rollback(spread: Room, partition: str, body: str) -> None:
    spread.migrate()
    trigger(spread, partition, body)
    with pytest.raises(Refused, match=f"nothing was given back: no row in {partition} can be flipped.*{BODIES[body]}"):
        roll_back(spread)
    assert spread.sql("SELECT aws_bucket_name FROM tenants") == [(spread.home(),)]
    assert (pointers(spread), set(spread.states().values())) == ({spread.home()}, {"flipped"})
    spread.sql(f"DROP TRIGGER guard ON {partition}")
    assert roll_back(spread).status is Status.ROLLED_BACK
    assert pointers(spread) == {spread.shared}


def try_cutover(room: Room) -> None:
    with room.services() as services:
        tenant, migration = room.begun(services)
        trials.try_cutover(services, migration, tenant)


def try_return(room: Room) -> None:
    with room.services() as services:
        tenant, migration = room.begun(services)
        trials.try_return(services, migration, tenant, is_adopted=False)


@pytest.mark.parametrize(("until", "attempt"), [(Phase.VERIFIED, try_cutover), (Phase.CUT_OVER, try_return)])
def test_one_row_of_each_partition_is_tried(spread: Room, until: Phase, attempt: Callable[[Room], None]) -> None:
    spread.migrate(until=until)
    spread.sql("CREATE SEQUENCE tried_in_first_a; CREATE SEQUENCE tried_in_first_b")  # a rollback leaves it as it is
    trigger(spread, "documents", "PERFORM nextval('tried_in_' || TG_TABLE_NAME); RETURN NEW;")
    attempt(spread)
    assert [spread.sql(f"SELECT last_value, is_called FROM tried_in_{each}") for each in PARTITIONS] == [
        [(1, True)],
        [(1, True)],
    ]
