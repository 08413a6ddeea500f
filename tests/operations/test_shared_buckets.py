"""Shared buckets that were removed: one of several, one whose name is another account's by now, the region afterwards."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from tests.support.data_room import Room
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import Refused
from rehouse.operations import cleanup as cleaning
from rehouse.operations import finish as finishing
from rehouse.operations.plan import plan
from rehouse.operations.rollback import roll_back_one

ELSEWHERE = "eu-central-1"
_numbers = itertools.count(1)


def empty(room: Room, bucket: str) -> None:
    """Move everything out of the shared buckets and remove one of them."""
    room.migrate()
    with room.services() as services:
        finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
    with room.services() as services:
        assert cleaning.drop_bucket(services, bucket).is_removed


def second_bucket(room: Room) -> str:
    """Add a shared bucket to the room's settings."""
    name = f"second-{next(_numbers)}"
    room.root.create_bucket(Bucket=name)
    room.settings = room.settings.model_copy(update={"shared_bucket": (room.shared, name)})
    return name


def test_the_others_stay_when_one_of_several_goes(room: Room) -> None:
    second = second_bucket(room)
    room.documents("a")
    room.put("k/b", b"b", bucket=second)
    room.row("b", "k/b", bucket=second)
    empty(room, second)
    with room.services(writes=False) as services:
        assert services.settings.remaining_buckets == (room.shared,)
        planned = plan(services, services.ledger.tenants())
        assert (planned.dropped_buckets, set(planned.shared)) == ((second,), {room.shared})
        assert [(each.bucket, each.is_removed) for each in cleaning.cleanup(services)] == [
            (room.shared, False),
            (second, True),
        ]
    room.tenant("globex")
    room.documents("c", slug="globex")
    assert room.migrate("globex", shared_bucket=(room.shared,)).this_run == 1
    with room.services() as services:
        assert roll_back_one(services, services.ledger.tenant("globex")).documents_returned == 1


def test_a_name_that_another_account_took_is_never_touched(room: Room, strict: StrictRelay) -> None:
    room.documents("a")
    empty(room, room.shared)
    room.root.create_bucket(Bucket=room.shared)
    strict.elsewhere.add(room.shared)
    strict.seen.clear()
    assert room.migrate().errors == 0
    assert room.verify(deep=True).is_well
    assert room.migrate(shared_bucket=()).errors == 0
    with room.services(writes=False) as services, pytest.raises(Refused, match=f"{room.shared} was removed"):
        room.tenant("globex")
        room.migrate("globex")
        roll_back_one(services, services.ledger.tenant("globex"))
    assert {each.operation for each in strict.seen if each.bucket == room.shared} == {"HEAD bucket"}


def test_afterwards_the_region_is_the_homes(room: Room) -> None:
    name = f"dropped-abroad-{next(_numbers)}"
    room.root.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": ELSEWHERE})
    room.shared = name
    room.settings = room.settings.model_copy(update={"shared_bucket": (name,), "region": ""})
    room.documents("a")
    empty(room, name)
    for shared in ((name,), ()):
        with room.services(shared_bucket=shared) as services:
            assert services.settings.region == ELSEWHERE


def test_a_source_cannot_be_put_back_into_a_removed_bucket(room: Room) -> None:
    room.documents("a")
    empty(room, room.shared)
    room.row("again", "k/a", bucket=room.shared)
    with room.services() as services:
        report = finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
    assert [(each.document_id, each.code) for each in report.left] == [("a", "not_put_back")]
    assert f"the shared bucket {room.shared} was removed" in report.left[0].message


def test_a_removed_bucket_is_removed_once(room: Room) -> None:
    room.documents("a")
    empty(room, room.shared)
    with room.services() as services:
        assert cleaning.drop_bucket(services, room.shared).is_removed
        assert cleaning.foresee_drop(services, room.shared) is None
    events = room.sql("SELECT event FROM s3_migration_events WHERE reason = %s ORDER BY id", room.shared)
    assert [event for (event,) in events] == ["shared_bucket_removing", "shared_bucket_removed"]
