"""A key that a document was moved from, given to another document by an instance that still caches the shared bucket.

Neither covers the other: what is there may be a late write or the other document, so a person decides.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.support.data_room import Room

from rehouse.core.lifecycle import Phase, Status
from rehouse.operations import rollback
from rehouse.operations.accept import accept
from rehouse.operations.finish import finish_one
from rehouse.operations.migrate import migrate_all
from rehouse.operations.rollback import ReturnReport, roll_back_one
from rehouse.operations.steps import survey


@pytest.fixture
def moved(room: Room) -> Room:
    """A room whose documents are at home; all sources are there still."""
    room.documents("d", "x", "y")
    assert room.migrate().status is Status.COMPLETED
    return room


def used_again(room: Room, key: str = "k/d", bucket: str | None = None) -> None:
    """Upload another document under the key, then insert its row."""
    room.put(key, b"document e", bucket=bucket)
    room.row("e", key, bucket=bucket or room.shared)


def returned(room: Room) -> ReturnReport:
    """Roll the tenant back."""
    with room.services() as services:
        return roll_back_one(services, services.ledger.tenant("acme"))


def accepted(room: Room) -> None:
    """Let the moved document stand as it is at home."""
    with room.services() as services:
        accept(services, services.ledger.tenant("acme"), ["d"], "the other one is a document of its own")


def test_the_moved_document_stays_and_the_other_is_moved(moved: Room) -> None:
    used_again(moved)
    for _ in range(2):  # while the other row points there, and once it was moved from there
        [conflict] = moved.migrate().outstanding
        assert (conflict.document_id, conflict.code) == ("d", "Conflict")
        assert "another document" in (conflict.message or "")
        assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")
    assert moved.pointer("e")[0] == moved.home()


@pytest.mark.parametrize("written", ["", None])
def test_a_row_that_names_no_bucket_counts(moved: Room, written: str | None) -> None:
    moved.put("k/d", b"document e")
    moved.row("e", "k/d", bucket=written)
    assert [each.document_id for each in moved.migrate().outstanding] == ["d"]
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")


def test_what_came_after_the_listing_counts_in_the_next_run(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    moved.documents("n")
    listed = survey.list_shared_buckets

    def list_then_write(services: Any) -> None:
        listed(services)
        used_again(moved)

    with monkeypatch.context() as patched, moved.services() as services:
        patched.setattr("rehouse.operations.migrate.list_shared_buckets", list_then_write)
        migrate_all(services, services.ledger.tenants())
    assert moved.pointer("e")[0] == moved.home()
    assert [each.document_id for each in moved.migrate().outstanding] == ["d"]
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")


def test_a_late_write_is_not_taken_for_another_documents(moved: Room) -> None:
    used_again(moved)
    moved.migrate()
    moved.put("k/d", b"document e, late")
    moved.migrate()
    assert moved.body("d") == b"d"


def test_a_write_between_the_look_and_its_settling_counts(moved: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    moved.put("k/d", b"late")
    asked = survey.head_all
    settling: list[object] = []

    def write_then_ask(services: Any, refs: Any) -> Any:
        if any(ref.bucket == moved.home() for ref in refs) and not settling:
            settling.append(refs)
            used_again(moved)
        return asked(services, refs)

    monkeypatch.setattr(survey, "head_all", write_then_ask)
    moved.migrate()
    assert settling
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")


def test_what_was_accepted_is_never_covered_later(moved: Room) -> None:
    used_again(moved)
    moved.migrate()
    accepted(moved)
    assert moved.migrate().status is Status.COMPLETED
    assert moved.verify(deep=True).is_well
    moved.put("k/d", b"document e, late")
    assert [each.document_id for each in moved.migrate().outstanding] == ["d"]
    accepted(moved)
    returned(moved)
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e, late")
    assert moved.pointer("d") == (moved.shared, "returned/acme/d/d.txt")


def test_what_was_accepted_goes_with_the_removal_of_sources(moved: Room) -> None:
    used_again(moved)
    moved.migrate()
    accepted(moved)
    with moved.services() as services:
        report = finish_one(services, services.ledger.tenant("acme"), grace=timedelta(0))
    assert (report.phase, moved.keys(moved.shared)) == (Phase.FINISHED, [])
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")


def test_a_rollback_does_not_lead_to_the_other_document(moved: Room) -> None:
    used_again(moved)
    assert [each.document_id for each in returned(moved).outstanding] == ["d"]
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")


@pytest.mark.parametrize("before", [True, False], ids=["before it is decided on", "before the flip"])
def test_one_that_comes_during_the_rollback_is_not_led_to(
    moved: Room, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    prepared = rollback.return_documents

    def return_documents(run: Any) -> Any:
        if before and not moved.sql("SELECT 1 FROM documents WHERE id = 'e'"):
            used_again(moved)
        done = prepared(run)
        if not before and not moved.sql("SELECT 1 FROM documents WHERE id = 'e'"):
            used_again(moved)
        return done

    monkeypatch.setattr(rollback, "return_documents", return_documents)
    report = returned(moved)
    assert report.status is Status.ROLLED_BACK
    assert (moved.body("d"), moved.body("e")) == (b"d", b"document e")
    assert moved.pointer("d") == (moved.shared, "returned/acme/d/d.txt")


def test_a_key_of_the_home_is_used_again_after_the_return(moved: Room) -> None:
    home = moved.home()
    moved.put("up/d2", b"born at home", bucket=home)
    moved.row("d2", "up/d2", bucket=home)
    returned(moved)
    used_again(moved, "up/d2", home)
    for _ in range(2):
        [conflict] = returned(moved).outstanding
        assert (conflict.document_id, conflict.code) == ("d2", "Conflict")
        assert "another document" in (conflict.message or "")
        assert (moved.body("d2"), moved.body("e")) == (b"born at home", b"document e")
