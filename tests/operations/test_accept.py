"""Accept: a document that cannot be moved stays where it is, on purpose, and the tenant is completed."""

from __future__ import annotations

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Status
from rehouse.operations.accept import accept


@pytest.fixture
def stuck(room: Room) -> Room:
    """A migrated room with one document at home and one that is lost."""
    room.documents("a")
    room.row("lost", "k/lost", bucket=room.shared)
    assert room.migrate().status is Status.FAILED
    return room


def accepted(room: Room, *document_ids: str, reason: str = "lost in 2023"):
    """Accept documents of acme."""
    with room.services() as services:
        return accept(services, services.ledger.tenant("acme"), document_ids, reason)


def test_an_accepted_document_is_no_error_any_more(stuck: Room) -> None:
    report = accepted(stuck, "lost")
    assert (report.status, report.errors, report.accepted, report.documents_migrated) == (Status.COMPLETED, 0, 1, 1)
    assert stuck.sql("SELECT status, documents_migrated FROM s3_migrations") == [("completed", 1)]
    assert stuck.pointer("lost") == (stuck.shared, "k/lost")
    again = stuck.migrate()
    assert (again.status, again.had_nothing_to_do) == (Status.COMPLETED, True)
    verified = stuck.verify()
    assert verified.is_well
    assert verified.accepted == 1


def test_the_reason_is_in_the_history(stuck: Room) -> None:
    accepted(stuck, "lost")
    events = stuck.sql("SELECT reason FROM s3_migration_events WHERE event = 'document_accepted'")
    assert events == [("lost: lost in 2023",)]


@pytest.mark.parametrize("wrong", ["a", "no-such-document"])
def test_all_or_none(stuck: Room, wrong: str) -> None:
    with pytest.raises(Refused, match=wrong):
        accepted(stuck, "lost", wrong)
    assert stuck.states()["lost"] == "quarantined"
    assert stuck.sql("SELECT status FROM s3_migrations") == [("failed",)]


def test_a_reason_is_needed(stuck: Room) -> None:
    with pytest.raises(Refused):
        accepted(stuck, "lost", reason="  ")


def test_a_tenant_that_was_never_migrated(room: Room) -> None:
    room.row("lost", "k/lost")
    with pytest.raises(Refused, match="never migrated"):
        accepted(room, "lost")


def test_an_accepted_document_that_changes_is_looked_at_again(stuck: Room) -> None:
    accepted(stuck, "lost")
    stuck.put("k/found", b"found")
    stuck.sql("UPDATE documents SET s3_key = 'k/found' WHERE id = 'lost'")
    assert stuck.migrate().status is Status.COMPLETED
    assert stuck.body("lost") == b"found"


def test_accepting_before_the_cutover_does_not_complete(room: Room) -> None:
    from rehouse.core.lifecycle import Phase

    room.documents("a")
    room.row("lost", "k/lost")
    room.migrate(until=Phase.VERIFIED)
    assert accepted(room, "lost").status is Status.IN_PROGRESS
    assert room.migrate().status is Status.COMPLETED
