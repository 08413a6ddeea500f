"""What the application feels of the flips: rows are locked for one look at S3, and never while S3 is asked again."""

from __future__ import annotations

import time

import psycopg
import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay, Reply, Request
from tests.support.row_locks import BUSY, Looks

from rehouse.core.copies import CopiedDocument
from rehouse.core.lifecycle import DocumentState, Phase, Status
from rehouse.core.model import ObjectRef
from rehouse.operations import migrate as migrating
from rehouse.operations.status import hint_of
from rehouse.operations.steps import busy_rows, flips
from rehouse.operations.steps.run import Order


@pytest.fixture
def verified(room: Room) -> Room:
    room.documents("a", "b", "c", "d")
    room.migrate(until=Phase.VERIFIED)
    return room


def test_a_look_under_the_lock_comes_before_every_flip(verified: Room) -> None:
    looks = Looks(verified, lambda _: None)
    with HttpRelay(verified.server.port) as relay:
        relay.before = looks
        assert verified.migrate(endpoint_url=relay.url).this_run == 4
    assert looks.locked[-1] is True


def test_a_listing_under_the_lock_keeps_to_its_range(room: Room) -> None:
    room.documents(*(f"d{number:02}" for number in range(40)))
    room.migrate(until=Phase.VERIFIED)
    sizes = []

    def note(request: Request) -> None:
        if "start-after" in request.query:
            sizes.append(int(request.query["max-keys"][0]))

    with HttpRelay(room.server.port) as relay:
        relay.before = note
        room.migrate(endpoint_url=relay.url)
    assert sizes
    assert max(sizes) <= 40


@pytest.mark.parametrize("refusals", [1, 3])
def test_nobody_waits_while_s3_is_asked_again(verified: Room, refusals: int) -> None:
    """The first look under the lock is refused: the rows are let go, S3 is asked with patience, then they are locked once more."""
    looks = Looks(verified, lambda number: Reply(503, BUSY) if number <= refusals else None)
    with verified.services() as services:
        tenant, migration = verified.begun(services)
        migration = flips.switch_home(services, migration, tenant)
    with HttpRelay(verified.server.port) as relay:
        relay.before = looks
        with verified.services(endpoint_url=relay.url) as services:
            _, migration = verified.begun(services)
            found = flips.flip_copies(services, migration, "acme")
    assert (found.flipped, found.left) == (4, 0)
    assert looks.locked[0] is True
    assert looks.locked[1 : refusals + 1] == [False] * refusals
    assert looks.locked[-1] is True


def test_a_source_without_an_answer_is_left_with_the_reason(verified: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flips, "GIVEN_BACK", 2)
    with verified.services() as services:
        tenant, migration = verified.begun(services)
        flips.switch_home(services, migration, tenant)

    def only_without_a_lock(number: int) -> Reply | None:
        return Reply(503, BUSY) if looks.locked[number - 1] else None

    looks = Looks(verified, only_without_a_lock)
    with HttpRelay(verified.server.port) as relay:
        relay.before = looks
        with verified.services(endpoint_url=relay.url) as services:
            _, migration = verified.begun(services)
            found = flips.flip_copies(services, migration, "acme")
    assert found.unseen >= 1
    assert verified.sql("SELECT error_code FROM s3_migration_documents WHERE document_id = 'b'") == [("LockBudget",)]
    assert verified.pointer("b") == (verified.shared, "k/b")
    assert verified.migrate().status is Status.COMPLETED


def test_a_fault_of_the_source_asks_nothing_of_the_target(verified: Room) -> None:
    """Else a batch whose sources are all given up could be given back for ever."""
    source, target = ObjectRef("home", "k/b"), ObjectRef(verified.shared, "k/b")
    copy = CopiedDocument("b", DocumentState.COPIED, source, "e", target, "e")
    with verified.services() as services:
        _, migration = verified.begun(services)
        documents, budget = services.ledger.documents(migration), services.lock_budget(flips.FLIPPING)
        over = time.monotonic()
        with pytest.raises(flips.GivenBack):
            flips.Looks(services, documents, budget, over, {}).at([copy])
        looks = flips.Looks(services, documents, budget, over, {source: flips.TOO_SLOW})
        assert looks.at([copy]) == [copy]
        assert (looks.etags, looks.others) == ({source: flips.TOO_SLOW}, {})


def test_slow_answers_are_waited_for_in_the_end(verified: Room) -> None:
    """An answer takes ten budgets: patience grows until it is there."""

    def slowly(request: Request) -> None:
        if request.operation == "HEAD object":
            time.sleep(0.3)

    with HttpRelay(verified.server.port) as relay:
        relay.before = slowly
        report = verified.migrate(endpoint_url=relay.url, lock_budget_ms=20)
    assert (report.status, report.this_run) == (Status.COMPLETED, 4)


def test_a_limit_of_requests_makes_batches_small_and_not_slow(room: Room) -> None:
    """At 30 requests a second 20 HEADs would take most of a second: rows are locked a few at a time."""
    names = [f"d{number:02}" for number in range(20)]
    room.documents(*names)
    room.row("far", "zzz", bucket=room.shared)
    room.migrate(until=Phase.VERIFIED)
    batches: list[int] = []
    with room.services(max_rate=30) as services:
        tenant, migration = room.begun(services)
        flips.switch_home(services, migration, tenant)
        services.report = lambda told: batches.append(told.documents)
        found = flips.flip_copies(services, migration, "acme")
    assert found.flipped == len(names)
    sizes = [after - before for before, after in zip([0, *batches], batches, strict=False)]
    assert max(sizes) <= 5


def test_a_foreign_keys_lock_is_not_waited_for(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.VERIFIED)
    room.sql("CREATE TABLE shares (document_id varchar(255) REFERENCES documents (id))")
    with psycopg.connect(room.url) as other:
        other.execute("INSERT INTO shares VALUES ('a')")
        assert room.migrate().status is Status.COMPLETED


def test_a_foreign_keys_lock_leaves_the_row_for_later(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key belongs to a unique index: PostgreSQL would let the update wait for whoever inserts a reference."""
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    room.documents("a", "b")
    room.migrate(until=Phase.VERIFIED)
    room.sql("ALTER TABLE documents ADD UNIQUE (s3_key)")
    room.sql("CREATE TABLE shares (document_id varchar(255) REFERENCES documents (id))")
    with psycopg.connect(room.url) as other:
        other.execute("INSERT INTO shares VALUES ('a')")
        report = room.migrate()
        assert [each.document_id for each in report.outstanding] == ["a"]
    assert room.migrate().status is Status.COMPLETED


def test_a_source_answered_too_late_has_its_own_hint() -> None:
    assert "REHOUSE_LOCK_BUDGET_MS" in hint_of(flips.TOO_SLOW.code, "acme")


def test_tenants_side_by_side_move_under_a_low_rate(room: Room) -> None:
    slugs = ("acme", "b", "c", "d")
    for slug in slugs[1:]:
        room.tenant(slug)
    for slug in slugs:
        room.documents(*(f"{slug}{number}" for number in range(5)), slug=slug)
    with room.services(max_rate=8.0) as services:
        tenants = [services.ledger.tenant(slug) for slug in slugs]
        reports = migrating.migrate_all(services, tenants, Order(Phase.CUT_OVER), parallel=4, fail_fast=False)
    assert [(each.this_run, each.outstanding) for each in reports] == [(5, [])] * 4
