"""The cutover, step by step: what changes between the copy and the flip is noticed under the row's lock."""

from __future__ import annotations

import threading

import psycopg
import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay, Reply, Request

from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.migrate import migrate_one
from rehouse.operations.steps import busy_rows
from rehouse.operations.steps.flips import flip_copies, switch_home
from rehouse.operations.steps.run import Order


@pytest.fixture
def verified(room: Room) -> Room:
    """A room whose four documents are copied and verified, and not flipped."""
    room.documents("a", "b", "c", "d")
    room.migrate(until=Phase.VERIFIED)
    return room


def test_an_undisturbed_cutover_flips_everything(verified: Room) -> None:
    with verified.services() as services:
        tenant, migration = verified.begun(services)
        migration = switch_home(services, migration, tenant)
        found = flip_copies(services, migration, "acme")
    assert (found.flipped, found.changed, found.left) == (4, 0, 0)
    assert set(verified.states().values()) == {"flipped"}
    assert verified.sql("SELECT aws_bucket_name FROM tenants") == [(verified.home(),)]


def test_a_source_that_was_overwritten_is_copied_again(verified: Room) -> None:
    with verified.services() as services:
        tenant, migration = verified.begun(services)
        migration = switch_home(services, migration, tenant)
        verified.put("k/b", b"b, overwritten")
        found = flip_copies(services, migration, "acme")
        assert (found.flipped, found.changed) == (3, 1)
    assert verified.pointer("b") == (verified.shared, "k/b")
    assert verified.states()["b"] == "planned"
    assert verified.migrate().status is Status.COMPLETED
    assert verified.body("b") == b"b, overwritten"


def test_a_source_that_went_after_its_copy_is_not_flipped(verified: Room) -> None:
    with verified.services() as services:
        tenant, migration = verified.begun(services)
        migration = switch_home(services, migration, tenant)
        verified.root.delete_object(Bucket=verified.shared, Key="k/b")
        found = flip_copies(services, migration, "acme")
        assert (found.flipped, found.changed) == (3, 1)
    report = verified.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "only_at_home")]


def test_a_row_that_was_deleted_makes_its_copy_superseded(verified: Room) -> None:
    verified.sql("DELETE FROM documents WHERE id = 'b'")
    report = verified.migrate()
    assert (report.status, report.this_run, report.documents_migrated) == (Status.COMPLETED, 3, 3)
    assert verified.states()["b"] == "superseded"


def test_a_row_that_moved_to_another_key_is_copied_from_there(verified: Room) -> None:
    verified.put("k/new", b"newer")
    verified.sql("UPDATE documents SET s3_key = 'k/new' WHERE id = 'b'")
    assert verified.migrate().status is Status.COMPLETED
    assert verified.body("b") == b"newer"


def test_a_row_that_moved_to_another_tenant_goes_to_that_one(verified: Room) -> None:
    verified.tenant("globex")
    verified.sql("UPDATE documents SET tenant_id = (SELECT id FROM tenants WHERE slug = 'globex') WHERE id = 'b'")
    assert verified.migrate().status is Status.COMPLETED
    assert verified.pointer("b") == (verified.shared, "k/b")
    assert verified.migrate("globex").status is Status.COMPLETED
    assert verified.pointer("b")[0] == verified.home("globex") != verified.home()
    assert verified.body("b") == b"b"


def test_a_locked_row_is_flipped_once_it_is_free(verified: Room) -> None:
    with psycopg.connect(verified.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        threading.Timer(1, busy.rollback).start()
        report = verified.migrate()
    assert report.status is Status.COMPLETED
    assert verified.pointer("b")[0] == verified.home()


def test_a_locked_row_without_a_bucket_is_flipped_later(room: Room) -> None:
    room.put("k/b", b"b")
    room.row("b", "k/b")
    room.migrate(until=Phase.VERIFIED)
    with psycopg.connect(room.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        threading.Timer(1, busy.rollback).start()
        report = room.migrate()
    assert report.status is Status.COMPLETED
    assert room.pointer("b")[0] == room.home()


def test_a_row_that_stays_locked_is_left_for_the_next_run(verified: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_rows, "PASSES", 2)
    monkeypatch.setattr(busy_rows, "PAUSE_SECONDS", 0.05)
    with psycopg.connect(verified.url) as busy:
        busy.execute("SELECT 1 FROM documents WHERE id = 'b' FOR UPDATE")
        report = verified.migrate()
        assert (report.status, report.errors, report.this_run) == (Status.FAILED, 1, 3)
        assert [(each.document_id, each.code) for each in report.outstanding] == [("b", None)]
        assert "locked" in report.outstanding[0].message
    assert verified.migrate().status is Status.COMPLETED


def test_a_source_without_a_look_is_not_flipped_and_says_why(verified: Room) -> None:
    def unspeakable(request: Request) -> Reply | None:
        return Reply(405, b"") if request.operation == "HEAD object" and request.key == "k/b" else None

    with HttpRelay(verified.server.port) as relay:
        relay.before = unspeakable
        report = verified.migrate(endpoint_url=relay.url)
        assert (
            sum(unspeakable(request) is not None for request in relay.seen) <= 4
        )  # it is not waited for as for a lock
    (left,) = report.outstanding
    assert (report.status, report.this_run, left.document_id) == (Status.FAILED, 3, "b")
    assert (left.state, left.code) == ("copied", "HTTP405")
    assert verified.pointer("b") == (verified.shared, "k/b")
    again = verified.run_order(Order(only_failed=True))
    assert (again.status, again.this_run, again.outstanding) == (Status.COMPLETED, 1, [])


def test_the_row_gets_true_size_and_etag_in_its_own_quotes(room: Room) -> None:
    for document_id, etag in (("bare", "0" * 32), ("quoted", f'"{"0" * 32}"'), ("none", None)):
        room.put(f"k/{document_id}", document_id.encode())
        room.row(document_id, f"k/{document_id}", etag=etag, file_size=999)
    room.migrate()
    rows = {
        row[0]: row[1:] for row in room.sql("SELECT id, file_size, etag, s3_migrated_at IS NOT NULL FROM documents")
    }
    for document_id, (size, etag, at) in rows.items():
        found = room.root.head_object(Bucket=room.home(), Key=f"documents/{document_id}/{document_id}.txt")
        assert (size, at) == (len(document_id), True)
        assert etag == (found["ETag"] if document_id == "quoted" else found["ETag"].strip('"'))


def test_a_large_batch_is_looked_at_by_listing_not_by_heads(room: Room) -> None:
    room.documents(*(f"d{number:02}" for number in range(40)))
    with room.services() as services:
        report = migrate_one(services, services.ledger.tenant("acme"))
        assert report.this_run == 40
        assert services.bulk.requests["head"] <= 1


def test_the_row_names_the_version_that_a_reader_gets(room: Room) -> None:
    room.documents("a", "b", "c")
    room.migrate()
    for document_id, key, version in room.sql("SELECT id, s3_key, s3_version_id FROM documents"):
        assert version == room.root.head_object(Bucket=room.home(), Key=key)["VersionId"], document_id
