"""No transaction of ours stays open while S3 is listed or asked: vacuum would wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from tests.support.data_room import Room

from rehouse.core.errors import TryAgain
from rehouse.core.lifecycle import Phase
from rehouse.core.model import ListedObject
from rehouse.ledger import inventory
from rehouse.operations.services import Services
from rehouse.operations.steps import survey
from rehouse.operations.steps.run import run_inventory


def page(first: int) -> list[ListedObject]:
    when = datetime.now(UTC)
    return [ListedObject(f"k/{number:04}", f"{number:032x}", 1, "STANDARD", when) for number in range(first, first + 3)]


def in_transaction(services: Services) -> bool:
    return services.ledger.connection.info.transaction_status is not TransactionStatus.IDLE


def test_a_listing_is_committed_a_few_pages_at_a_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "TOGETHER", 6)
    seen: list[tuple[bool, int]] = []

    def pages(services: Services) -> Iterator[list[ListedObject]]:
        for first in (0, 10, 20, 30, 40):
            seen.append((in_transaction(services), room.sql("SELECT count(*) FROM s3_inventory")[0][0]))
            yield page(first)

    with room.services() as services:
        assert services.ledger.inventory().load(room.shared, pages(services)) == 5
        assert seen == [(False, 0), (False, 0), (False, 6), (False, 6), (False, 12)]
        assert services.ledger.inventory().totals(room.shared) == (15, 15)
        services.ledger.inventory().load(room.shared, [[], page(50)])
        assert services.ledger.inventory().totals(room.shared) == (3, 3)


def test_a_listing_that_fails_leaves_nothing(room: Room) -> None:
    def broken() -> Iterator[list[ListedObject]]:
        yield page(0)
        raise ValueError("the network")

    with room.services() as services:
        with pytest.raises(ValueError, match="the network"):
            services.ledger.inventory().load(room.shared, broken())
        assert services.ledger.inventory().totals(room.shared) == (0, 0)


def test_a_stream_holds_no_transaction(room: Room) -> None:
    room.documents("a", "b", "c")
    room.migrate(until=Phase.VERIFIED)
    with room.services() as services:
        _, migration = room.begun(services)
        copies = services.ledger.documents(migration).waiting_copies()
        first = next(copies)
        assert not in_transaction(services)
        room.sql("UPDATE s3_migration_documents SET state = 'superseded'")
        assert len([first, *copies]) == 3, "what it tells is of one moment"
        assert services.ledger.connection.execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)


def test_the_inventorys_space_is_given_back(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    assert room.sql("SELECT pg_relation_size('s3_inventory')") == [(0,)]


def test_another_runs_inventory_stays(room: Room) -> None:
    with room.services() as services, room.services() as other:
        for each in (services, other):
            each.ledger.inventory().load(room.shared, [page(0)])
        services.ledger.inventory().clear()
        assert room.sql("SELECT DISTINCT run_id::text FROM s3_inventory") == [(other.ledger.run_id,)]


def test_an_inventory_that_is_in_use_is_not_waited_for(room: Room) -> None:
    with room.services() as services, psycopg.connect(room.url) as other:
        services.ledger.inventory().load(room.shared, [page(0)])
        other.execute(
            "INSERT INTO s3_inventory (run_id, bucket, key, etag, size) VALUES (%s, 'b', 'k', 'e', 1)", (uuid4(),)
        )
        services.ledger.inventory().clear()
        other.commit()
    assert room.sql("SELECT bucket FROM s3_inventory") == [("b",)]


def test_a_run_taken_for_dead_ignores_its_old_inventory(room: Room) -> None:
    """The session with its locks is lost for a moment, and another run begins: what was written late may not have been seen."""
    room.documents("a")
    room.migrate()
    with room.services() as services, pytest.raises(TryAgain, match="another run found this one without its lock"):  # noqa: SIM117
        with run_inventory(services):
            survey.list_shared_buckets(services)
            room.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rehouse lock'"
                     " AND datname = current_database()")  # fmt: skip
            with room.services() as other, run_inventory(other):
                pass
            services.keep_locks()
            assert services.ledger.inventory().totals(room.shared) == (0, 0)
    assert room.sql("SELECT count(*) FROM s3_inventory") == [(0,)]


def test_a_run_whose_lock_was_lost_and_taken_again_goes_on(room: Room) -> None:
    room.documents("a")
    with room.services() as services, run_inventory(services):
        survey.list_shared_buckets(services)
        room.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rehouse lock'"
                 " AND datname = current_database()")  # fmt: skip
        services.keep_locks()
        assert services.ledger.inventory().totals(room.shared)[0] == 1
