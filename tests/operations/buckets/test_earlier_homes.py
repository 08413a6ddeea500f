"""A bucket of a tenant that the database does not name: a second one is made only if every object in the first is outdated."""

from __future__ import annotations

import json
import time

import pytest
from tests.support.data_room import Room
from tests.support.returns import at_home

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Status
from rehouse.operations.buckets import earlier_homes
from rehouse.operations.doctor import Outcome, examine
from rehouse.operations.plan import plan


@pytest.fixture
def earlier(room: Room) -> str:
    """The bucket of `acme` that a database made again knows nothing of; its two sources are older than their copies."""
    room.documents("a", "b")
    time.sleep(1.1)  # S3 shows whole seconds
    room.migrate()
    bucket = room.home()
    room.sql("TRUNCATE s3_migrations, s3_migration_documents")
    room.sql("UPDATE tenants SET aws_bucket_name = NULL")
    room.sql("UPDATE documents SET s3_bucket = %s, s3_key = 'k/' || id", room.shared)
    return bucket


def write_again(room: Room, *document_ids: str) -> None:
    time.sleep(1.1)
    for document_id in document_ids:
        room.put(f"k/{document_id}", b"again")


def told_by_doctor(room: Room) -> tuple[Outcome, str]:
    [found] = [each for each in examine(room.settings) if each.subject.startswith("tenants' buckets")]
    return found.outcome, found.message


def is_refused(room: Room) -> bool:
    """Return whether the three that judge it agree that it is."""
    with room.services(writes=False) as services:
        [planned] = plan(services, services.ledger.tenants()).tenants
    outcome, _ = told_by_doctor(room)
    assert (planned.problem is not None) == (outcome is Outcome.FAILED)
    if planned.problem is None:
        return False
    with pytest.raises(Refused, match="does not name a bucket"):
        room.migrate()
    assert room.sql("SELECT count(*) FROM s3_migrations") == [(0,)]
    return True


def test_copies_newer_than_their_sources_are_needed(room: Room, earlier: str) -> None:
    assert is_refused(room)


def test_one_document_that_was_not_written_again_is_enough(room: Room, earlier: str) -> None:
    write_again(room, "a")
    assert is_refused(room)


def test_documents_written_again_get_a_new_bucket(room: Room, earlier: str) -> None:
    write_again(room, "a", "b")
    assert not is_refused(room)
    outcome, message = told_by_doctor(room)
    assert (outcome, earlier in message) == (Outcome.NOTICE, True)
    report = room.migrate()
    assert report.status is Status.COMPLETED
    assert any(earlier in note for note in report.notes)
    assert room.home() != earlier
    assert (room.body("a"), room.body("b")) == (b"again", b"again")
    assert sorted(room.keys(earlier)) == [at_home(room, "a"), at_home(room, "b")]


def test_an_empty_bucket_is_not_needed(room: Room, earlier: str) -> None:
    for key in room.keys(earlier):
        room.root.delete_object(Bucket=earlier, Key=key)
    assert not is_refused(room)


@pytest.mark.parametrize("key", ["uploads/new", "documents/gone/x", "documents/a"])
def test_an_object_of_no_document_may_be_needed(room: Room, earlier: str, key: str) -> None:
    room.put(key, bucket=earlier)
    write_again(room, "a", "b")
    assert is_refused(room)


def test_a_source_that_is_gone_makes_the_copy_the_last(room: Room, earlier: str) -> None:
    write_again(room, "a", "b")
    room.root.delete_object(Bucket=room.shared, Key="k/b")
    assert is_refused(room)


def test_a_row_that_points_elsewhere_has_no_source(room: Room, earlier: str) -> None:
    write_again(room, "a", "b")
    room.sql("UPDATE documents SET s3_bucket = %s WHERE id = 'b'", earlier)
    assert is_refused(room)


def test_more_objects_than_are_compared_may_be_needed(
    room: Room, earlier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_again(room, "a", "b")
    monkeypatch.setattr(earlier_homes, "MOST_COMPARED", 1)
    assert is_refused(room)


def test_a_bucket_that_cannot_be_listed_may_be_needed(room: Room, earlier: str) -> None:
    write_again(room, "a", "b")
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{earlier}"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    room.root.put_bucket_policy(Bucket=earlier, Policy=policy)
    assert is_refused(room)
