"""A copy whose run was killed before it could record it is found again, whatever S3 tells of times, with all that belongs to it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.data_room import Room, md5
from tests.support.faults import refusal
from tests.support.http_relay import Reply, Request
from tests.support.killing import in_a_child
from tests.support.parts import IN_PARTS
from tests.support.returns import at_home, returned, roll_back
from tests.support.strict_relay import StrictRelay
from tests.support.whole_checksums import WholeChecksums

from rehouse.core.lifecycle import Status
from rehouse.operations import cleanup as cleaning
from rehouse.operations.migrate import migrate_one
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.steps import late_rounds, returns
from rehouse.operations.steps.guarded_copies import SMALL_BYTES
from rehouse.s3.bulk import multipart

NEVER = 10**9
NEW = b"written at home"
LARGE = bytes(range(250)) * 4200
assert len(LARGE) > SMALL_BYTES
MANY_TAGS: Any = [{"Key": f"key {n}", "Value": "ü" * 200} for n in range(10)]
TITLE = {"title": "Q3"}


def killed(room: Room, command: Callable[[Any, Any], object], module: Any, name: str, at: str = "") -> None:
    """Run a command in a process that dies where it would call this function, with an argument that names `at`."""
    function = getattr(module, name)

    def die(*arguments: Any, **more: Any) -> Any:
        if at in str(arguments[1:]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)

    def deed() -> None:
        setattr(module, name, die)
        with room.services() as services:
            command(services, services.ledger.tenant("acme"))

    assert in_a_child(deed, NEVER)


def in_one_second(request: Request, reply: Reply) -> Reply:
    """Show every object as written in the same second, with its milliseconds in listings only, as some servers do."""
    if request.operation == "ListObjectsV2":
        return replace(reply, body=re.sub(rb"(<LastModified>)[^<]*", rb"\g<1>2026-11-23T07:00:00.900Z", reply.body))
    if request.operation != "HEAD object":
        return reply
    kept = tuple(each for each in reply.headers if each[0].lower() != "last-modified")
    return replace(reply, headers=(*kept, ("Last-Modified", "Mon, 23 Nov 2026 07:00:00 GMT")))


@pytest.fixture
def moved(room: Room, strict: StrictRelay) -> Room:
    """Two documents at home, at an S3 that shows every object as written in the same second."""
    strict.endings.append(in_one_second)
    room.documents("a", "b")
    assert room.migrate().status is Status.COMPLETED
    return room


@pytest.fixture
def large(room: Room, strict: StrictRelay) -> Room:
    """Two documents at home, at an S3 that knows the checksum of every object; large ones are copied in parts."""
    WholeChecksums(strict)
    room.settings = room.settings.model_copy(update=IN_PARTS)
    room.documents("a", "b")
    assert room.migrate().status is Status.COMPLETED
    return room


def returned_keys(room: Room) -> list[str]:
    return [key for key in room.keys(room.shared) if key.startswith("returned/")]


def put_tagged(room: Room, bucket: str, key: str) -> None:
    room.root.put_object(Bucket=bucket, Key=key, Body=LARGE, Metadata=TITLE)
    room.root.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": MANY_TAGS})


def is_whole(room: Room, document_id: str) -> bool:
    """Whether the row leads to the bytes, the metadata and the tags."""
    bucket, key = room.pointer(document_id)
    tags = room.root.get_object_tagging(Bucket=bucket or "", Key=key or "")["TagSet"]
    metadata = room.root.head_object(Bucket=bucket or "", Key=key or "")["Metadata"]
    kept = sorted((tag["Key"], tag["Value"]) for tag in tags) == sorted((t["Key"], t["Value"]) for t in MANY_TAGS)
    return kept and metadata == TITLE and room.body(document_id) == LARGE


# Of the same second -------------------------------------------------------------------------------------------------------


def test_a_returned_copy_of_the_same_second_is_adopted(moved: Room) -> None:
    moved.root.put_object(Bucket=moved.home(), Key=at_home(moved, "a"), Body=NEW, Metadata=TITLE)
    killed(moved, roll_back_one, returns, "_verify_outcomes")
    assert returned_keys(moved) == [returned("a")]
    report = roll_back(moved)
    assert (report.status, report.copied, report.adopted) == (Status.ROLLED_BACK, 0, 1)
    assert (returned_keys(moved), moved.pointer("a")) == ([returned("a")], (moved.shared, returned("a")))
    assert moved.body("a") == NEW


def test_a_copy_with_other_metadata_is_not_adopted(moved: Room) -> None:
    """It may be of before the application wrote the same bytes again; `cleanup` names the object that is left."""
    moved.put(at_home(moved, "a"), NEW, moved.home())
    killed(moved, roll_back_one, returns, "_verify_outcomes")
    moved.root.put_object(Bucket=moved.home(), Key=at_home(moved, "a"), Body=NEW, Metadata=TITLE)
    report = roll_back(moved)
    assert (report.status, report.copied, report.adopted) == (Status.ROLLED_BACK, 1, 0)
    bucket, key = moved.pointer("a")
    assert (bucket, key) == (moved.shared, returned("a", etag=md5(NEW)))
    assert moved.root.head_object(Bucket=moved.shared, Key=key or "")["Metadata"] == TITLE
    with moved.services(writes=False) as services:
        [left] = cleaning.cleanup(services)
    [orphans] = [each for each in left.left if each.category == "orphan"]
    assert orphans.examples == ("k/a", returned("a")), "the first source as well: decision 21"


def test_without_the_right_to_read_tags_nothing_is_adopted(moved: Room, strict: StrictRelay) -> None:
    moved.put(at_home(moved, "a"), NEW, moved.home())
    killed(moved, roll_back_one, returns, "_verify_outcomes")
    deny = refusal(403, "AccessDenied")
    strict.meanwhile = lambda request: deny(request) if request.operation == "GET tagging" else None
    report = roll_back(moved)
    assert (report.status, report.copied, report.adopted) == (Status.ROLLED_BACK, 1, 0)
    assert returned_keys(moved) == sorted([returned("a"), returned("a", etag=md5(NEW))])
    assert moved.body("a") == NEW


def test_a_dry_run_foresees_the_adoption_and_changes_nothing(moved: Room, strict: StrictRelay) -> None:
    moved.put(at_home(moved, "a"), NEW, moved.home())
    killed(moved, roll_back_one, returns, "_verify_outcomes")
    strict.forget()
    report = roll_back(moved, dry_run=True)
    assert (report.copied, report.adopted) == (0, 1)
    assert {each.method for each in strict.seen} <= {"GET", "HEAD", "POST"}


def test_a_write_sent_after_in_the_same_second_is_taken_up(moved: Room) -> None:
    assert roll_back(moved).status is Status.ROLLED_BACK
    moved.put(at_home(moved, "a"), NEW, moved.home())
    moved.put(at_home(moved, "b"), NEW, moved.home())
    killed(moved, roll_back_one, late_rounds, "look_in_time", at="/b/")
    assert moved.body("b") == b"b"
    roll_back(moved)
    assert returned_keys(moved) == [returned("a"), returned("b")]
    assert (moved.body("a"), moved.body("b")) == (NEW, NEW)


# In parts, with tags that are set after the upload ------------------------------------------------------------------------


def test_a_killed_copy_in_parts_gets_its_tags(room: Room, strict: StrictRelay) -> None:
    WholeChecksums(strict)
    room.settings = room.settings.model_copy(update=IN_PARTS)
    put_tagged(room, room.shared, "k/a")
    room.row("a", "k/a", bucket=room.shared)
    killed(room, migrate_one, multipart._Upload, "_set_tags")
    report = room.migrate()
    assert (report.status, report.copied, report.adopted) == (Status.COMPLETED, 0, 1)
    assert is_whole(room, "a")
    assert room.verify(deep=True).is_well


def test_a_killed_copy_back_in_parts_gets_its_tags(large: Room) -> None:
    put_tagged(large, large.home(), at_home(large, "a"))
    killed(large, roll_back_one, multipart._Upload, "_set_tags")
    assert returned_keys(large) == [returned("a")]
    report = roll_back(large)
    assert (report.status, report.copied, report.adopted) == (Status.ROLLED_BACK, 0, 1)
    assert returned_keys(large) == [returned("a")]
    assert is_whole(large, "a")


def test_a_killed_late_write_in_parts_gets_its_tags(large: Room) -> None:
    put_tagged(large, large.shared, "k/a")
    killed(large, migrate_one, multipart._Upload, "_set_tags")
    report = large.migrate()
    assert (report.status, report.late_writes, report.outstanding) == (Status.COMPLETED, 1, [])
    assert is_whole(large, "a")
    assert large.verify(deep=True).is_well


def test_a_killed_write_sent_after_in_parts_gets_its_tags(large: Room) -> None:
    assert roll_back(large).status is Status.ROLLED_BACK
    put_tagged(large, large.home(), at_home(large, "a"))
    killed(large, roll_back_one, multipart._Upload, "_set_tags")
    assert roll_back(large).late_writes == 1
    assert returned_keys(large) == [returned("a")]
    assert is_whole(large, "a")


def test_a_late_write_in_parts_with_other_tags_is_a_conflict(large: Room) -> None:
    """The application wrote the same bytes home, with tags of its own: neither replaces the other."""
    put_tagged(large, large.shared, "k/a")
    killed(large, migrate_one, multipart._Upload, "_set_tags")
    own = [{"Key": "own", "Value": "1"}]
    large.root.put_object_tagging(Bucket=large.home(), Key=at_home(large, "a"), Tagging={"TagSet": own})
    assert [each.code for each in large.migrate().outstanding] == ["Conflict"]
    assert large.root.get_object_tagging(Bucket=large.home(), Key=at_home(large, "a"))["TagSet"] == own


def test_tags_that_cannot_be_set_are_tried_again(large: Room, strict: StrictRelay) -> None:
    put_tagged(large, large.home(), at_home(large, "a"))
    killed(large, roll_back_one, multipart._Upload, "_set_tags")

    invalid = refusal(400, "InvalidTag")
    strict.meanwhile = lambda request: invalid(request) if request.operation == "PUT tagging" else None
    [left] = roll_back(large).outstanding
    assert (left.document_id, left.code) == ("a", "InvalidTag")
    assert large.pointer("a")[0] == large.home()
    strict.meanwhile = lambda request: None
    assert roll_back(large).status is Status.ROLLED_BACK
    assert returned_keys(large) == [returned("a")]
    assert is_whole(large, "a")
