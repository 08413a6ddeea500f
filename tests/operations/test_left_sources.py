"""Sources that `finish` leaves are counted once: every command shows the same number until the next `finish` looks again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.data_room import Room

from rehouse.core.lifecycle import Phase, Status
from rehouse.operations import cleanup as cleaning
from rehouse.operations import finish as finishing
from rehouse.operations.finish import FinishReport
from rehouse.operations.status import errors, overview
from rehouse.operations.steps import removals


def finish(room: Room, *, dry_run: bool = False) -> FinishReport:
    with room.services() as services:
        tenant = services.ledger.tenant("acme")
        return finishing.finish_one(services, tenant, grace=timedelta(0), dry_run=dry_run)


def counts(room: Room) -> dict[str, int]:
    """What each command that only looks says, by command."""
    with room.services(writes=False) as services:
        [line] = overview(services.ledger)
        listed = errors(services.ledger, services.ledger.tenants())
        [left] = cleaning.cleanup(services)
    stays = sum(each.objects for each in left.left if each.category == "stays")
    return {"status": line.documents_failed or 0, "status --errors": len(listed), "cleanup": stays}


@pytest.fixture
def damaged(room: Room) -> Room:
    """A room with two documents at home that are safe, one that is not there, and one that was written there."""
    room.documents("a", "b", "emptied", "rewritten")
    room.migrate()
    room.root.delete_object(Bucket=room.home(), Key="documents/emptied/emptied.txt")
    room.put("documents/rewritten/rewritten.txt", b"written at home", bucket=room.home())
    return room


def test_cleanup_promises_no_removal_that_finish_refuses(damaged: Room) -> None:
    with damaged.services(writes=False) as services:
        [left] = cleaning.cleanup(services)
    assert {(each.category, each.code): each.objects for each in left.left} == {
        ("source", None): 2,
        ("stays", "home_changed"): 1,
        ("stays", "home_missing"): 1,
    }
    foreseen, report = finish(damaged, dry_run=True), finish(damaged)
    assert (foreseen.sources_removed, foreseen.errors, report.sources_removed, report.errors) == (2, 2, 2, 2)


def test_every_command_shows_the_same_count(damaged: Room) -> None:
    report = finish(damaged)
    assert {each.document_id: each.code for each in report.left} == {
        "emptied": "home_missing",
        "rewritten": "home_changed",
    }
    assert (report.errors, report.status, report.outstanding) == (2, Status.FAILED, [])
    assert counts(damaged) == {"status": 2, "status --errors": 2, "cleanup": 2}
    again = damaged.migrate()
    assert (again.errors, again.status) == (2, Status.FAILED)
    assert counts(damaged) == {"status": 2, "status --errors": 2, "cleanup": 2}
    assert finish(damaged).errors == 2
    with damaged.services(writes=False) as services:
        [line] = overview(services.ledger)
        told = {each.document_id: each.hint for each in errors(services.ledger, services.ledger.tenants())}
    assert (line.status, line.error_message) == ("failed", "1 × home_changed, 1 × home_missing")
    assert "the source is the only copy" in told["emptied"]
    assert "write its ETag into the row" in told["rewritten"]


def test_what_was_put_right_is_counted_no_more(damaged: Room) -> None:
    finish(damaged)
    damaged.put("documents/emptied/emptied.txt", b"emptied", bucket=damaged.home())
    etag = damaged.root.head_object(Bucket=damaged.home(), Key="documents/rewritten/rewritten.txt")["ETag"].strip('"')
    damaged.sql("UPDATE documents SET etag = %s WHERE id = 'rewritten'", etag)
    report = finish(damaged)
    assert (report.sources_removed, report.errors, report.phase, report.status) == (
        2,
        0,
        Phase.FINISHED,
        Status.COMPLETED,
    )
    assert counts(damaged) == {"status": 0, "status --errors": 0, "cleanup": 0}


def test_what_waits_is_counted_until_it_is_looked_at_again(damaged: Room) -> None:
    finish(damaged)
    with damaged.services() as services:
        report = finishing.finish_one(services, services.ledger.tenant("acme"), grace=timedelta(days=7))
    assert (report.waiting, report.errors, report.status) == (2, 2, Status.FAILED)
    assert counts(damaged) == {"status": 2, "status --errors": 2, "cleanup": 2}


def test_two_documents_of_one_source_do_not_wait_for_ever(room: Room) -> None:
    room.documents("a")
    room.row("twin", "k/a", bucket=room.shared)
    room.migrate()
    room.row("foreign", "k/a", bucket=room.shared)  # a row points to the source: both stay
    with room.services() as services:
        services.ledger.connection.execute("UPDATE documents SET tenant_id = NULL WHERE id = 'foreign'")
    assert {each.document_id: each.code for each in finish(room).left} == {"a": "pointed_at", "twin": "pointed_at"}
    room.sql("DELETE FROM documents WHERE id = 'foreign'")
    report = finish(room)
    assert (report.sources_removed, report.errors, report.phase) == (2, 0, Phase.FINISHED)


def twins(room: Room) -> None:
    """Two documents of one tenant with one source, each with an object of its own at home."""
    room.documents("a", "other")
    room.row("twin", "k/a", bucket=room.shared)
    room.migrate()


@pytest.mark.parametrize("batch", [1, 500])
@pytest.mark.parametrize(("lost", "safe"), [("a", "twin"), ("twin", "a")])
def test_a_source_stays_for_either_of_two_documents(
    room: Room, monkeypatch: pytest.MonkeyPatch, lost: str, safe: str, batch: int
) -> None:
    twins(room)
    monkeypatch.setattr(removals, "BATCH", batch)
    key = next(key for key in room.keys(room.home()) if key.startswith(f"documents/{lost}/"))
    body = room.body(lost)
    room.root.delete_object(Bucket=room.home(), Key=key)
    foreseen = finish(room, dry_run=True)
    assert (foreseen.sources_removed, foreseen.errors) == (1, 2)
    for report in (finish(room), finish(room)):
        assert {each.document_id: each.code for each in report.left} == {lost: "home_missing", safe: "shared_source"}
        assert "k/a" in room.keys(room.shared)
    assert counts(room) == {"status": 2, "status --errors": 2, "cleanup": 1}  # documents, documents, objects
    room.put(key, body, bucket=room.home())
    report = finish(room)
    assert (report.sources_removed, report.errors, report.phase) == (2, 0, Phase.FINISHED)
    assert room.keys(room.shared) == []


def test_a_document_without_a_row_is_counted_too(room: Room) -> None:
    room.documents("a")
    room.migrate()
    room.root.delete_object(Bucket=room.home(), Key="documents/a/a.txt")
    for each in room.root.list_object_versions(Bucket=room.home()).get("DeleteMarkers", []):
        room.root.delete_object(Bucket=room.home(), Key=each["Key"], VersionId=each["VersionId"])
    for each in room.root.list_object_versions(Bucket=room.home()).get("Versions", []):
        room.root.delete_object(Bucket=room.home(), Key=each["Key"], VersionId=each["VersionId"])
    room.sql("DELETE FROM documents")
    assert [each.code for each in finish(room).left] == ["last_copy"]
    assert counts(room) == {"status": 1, "status --errors": 1, "cleanup": 1}


def test_a_source_that_could_not_be_put_back_is_counted(room: Room) -> None:
    room.documents("a")
    room.migrate()
    assert finish(room).sources_removed == 1
    room.put("documents/a/a.txt", b"another", bucket=room.home())
    room.tenant("other")
    room.row("again", "k/a", slug="other", bucket=room.shared)
    assert [each.code for each in finish(room).left] == ["not_put_back"]
    with room.services(writes=False) as services:
        assert [each.code for each in errors(services.ledger, [services.ledger.tenant("acme")])] == ["not_put_back"]
    room.sql("DELETE FROM documents WHERE id = 'again'")
    assert finish(room).errors == 0
    with room.services(writes=False) as services:
        assert errors(services.ledger, [services.ledger.tenant("acme")]) == []
