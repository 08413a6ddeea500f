"""Archived documents: what S3 says now decides, on the way there and on the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import HttpRelay, Reply, Request

from rehouse.core.lifecycle import Status
from rehouse.operations import plan as planning
from rehouse.operations import rollback as returning

RESTORE = "x-amz-restore"
ENDED = 'ongoing-request="false", expiry-date="Fri, 23 Dec 2033 00:00:00 GMT"'
STATUS = (
    b"<RestoreStatus><IsRestoreInProgress>%s</IsRestoreInProgress>"
    b"<RestoreExpiryDate>2033-12-23T00:00:00Z</RestoreExpiryDate></RestoreStatus></Contents>"
)
OFFERED = "x-amz-optional-object-attributes"


@pytest.fixture
def relay(room: Room) -> Iterator[HttpRelay]:
    """A relay before the room's server."""
    with HttpRelay(room.server.port) as relay:
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        yield relay


def put(room: Room, document_id: str, storage_class: str) -> None:
    room.root.put_object(Bucket=room.shared, Key=f"k/{document_id}", Body=b"x", StorageClass=storage_class)  # type: ignore[arg-type]
    room.row(document_id, f"k/{document_id}", bucket=room.shared)


def head_says(**headers: str) -> object:
    """Return an ending: HEADs of archived objects have these headers."""
    told = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    def said(request: Request, reply: Reply) -> Reply:
        return replace(reply, headers=reply.headers + told) if request.operation == "HEAD object" else reply

    return said


def listing_says(is_in_progress: bytes) -> object:
    """Return an ending: a listing that asks for it is told of a restore of every object, as Amazon tells it."""

    def said(request: Request, reply: Reply) -> Reply:
        if request.operation != "ListObjectsV2" or request.headers.get(OFFERED) != "RestoreStatus":
            return reply
        return replace(reply, body=reply.body.replace(b"</Contents>", STATUS % is_in_progress))

    return said


def test_a_restored_object_moves_into_a_class_that_can_be_read(room: Room, relay: HttpRelay) -> None:
    put(room, "a", "GLACIER")
    put(room, "b", "DEEP_ARCHIVE")
    relay.after = listing_says(b"false")  # type: ignore[assignment]
    report = room.migrate()
    assert (report.status, report.this_run) == (Status.COMPLETED, 2)
    copies = [each.headers for each in relay.seen if each.operation == "CopyObject"]
    assert {headers.get("x-amz-storage-class") for headers in copies} == {"STANDARD"}
    assert room.root.head_object(Bucket=room.home(), Key="documents/a/a.txt").get("StorageClass") != "GLACIER"


def test_one_whose_restore_is_under_way_is_archived(room: Room, relay: HttpRelay) -> None:
    put(room, "a", "GLACIER")
    relay.after = listing_says(b"true")  # type: ignore[assignment]
    (left,) = room.migrate().outstanding
    assert (left.code, "aws s3api restore-object" in (left.message or "")) == ("archived", True)
    assert not any(each.operation == "CopyObject" for each in relay.seen)


@pytest.mark.parametrize("code", [None, "NotImplemented", "InvalidArgument"], ids=["ignored", "501", "refused"])
def test_only_archived_objects_are_headed_after_a_bare_listing(room: Room, relay: HttpRelay, code: str | None) -> None:
    put(room, "a", "GLACIER")
    room.documents("b", "c")
    relay.after = head_says(**{RESTORE.replace("-", "_"): ENDED})  # type: ignore[assignment]
    if code:
        relay.before = lambda request: refusal(400, code)(request) if OFFERED in request.headers else None
    with room.services(writes=False) as services:
        plan = planning.plan(services, [services.ledger.tenant("acme")])
    assert (plan.tenants[0].to_copy, plan.tenants[0].quarantined) == (3, [])
    assert [each.key for each in relay.seen if each.operation == "HEAD object"] == ["k/a"]
    asked = [OFFERED in each.headers for each in relay.seen if each.operation == "ListObjectsV2"]
    assert asked == ([True, False] if code else [True])
    assert room.migrate().status is Status.COMPLETED


def in_a_tier(request: Request) -> Reply | None:
    """Refuse to copy what is in an archive tier, as S3 does."""
    is_copy = request.operation in {"CopyObject", "UploadPartCopy"}
    if is_copy and request.headers["x-amz-copy-source"].endswith("/tiered"):
        return refusal(403, "InvalidObjectState")(request)
    return None


def test_an_archive_tier_is_told_as_archived_and_planned_for(room: Room, relay: HttpRelay) -> None:
    put(room, "tiered", "INTELLIGENT_TIERING")
    put(room, "other", "INTELLIGENT_TIERING")
    relay.before = in_a_tier
    with room.services(writes=False) as services:
        (planned,) = planning.plan(services, [services.ledger.tenant("acme")]).tenants
    assert (planned.to_copy, planned.tiered) == (2, 2)
    report = room.migrate()
    assert [(each.document_id, each.code, each.state) for each in report.outstanding] == [
        ("tiered", "archived", "quarantined")
    ]
    assert "restore-object" in (report.outstanding[0].message or "")
    tried = sum(each.operation == "CopyObject" and b"/tiered\r" in each.head for each in relay.seen)
    assert tried == 2, "once a round"
    relay.before = lambda request: None
    assert room.migrate().status is Status.COMPLETED


def test_a_head_that_tells_the_tier_saves_the_copy(room: Room, relay: HttpRelay) -> None:
    room.documents("b", "c")
    put(room, "tiered", "INTELLIGENT_TIERING")
    relay.after = head_says(x_amz_archive_status="DEEP_ARCHIVE_ACCESS")  # type: ignore[assignment]
    with room.services() as services:
        from rehouse.core.model import ObjectRef

        (head,) = services.bulk.head([ObjectRef(room.shared, "k/tiered")])
    assert head.object
    assert head.object.storage_class == "DEEP_ARCHIVE_ACCESS"


def test_a_restore_that_expires_before_the_copy_is_told(room: Room, relay: HttpRelay) -> None:
    put(room, "tiered", "GLACIER")
    relay.after, relay.before = listing_says(b"false"), in_a_tier  # type: ignore[assignment]
    (left,) = room.migrate().outstanding
    assert left.code == "archived"
    assert re.search("GLACIER, its restore has expired", left.message or "")


def test_a_rollback_tells_it_too(room: Room, relay: HttpRelay) -> None:
    room.documents("a")
    room.migrate()
    room.root.put_object(Bucket=room.home(), Key="documents/tiered", Body=b"born at home")
    room.row("tiered", "documents/tiered", bucket=room.home())
    relay.before = in_a_tier
    with room.services() as services:
        report = returning.roll_back_one(services, services.ledger.tenant("acme"))
    assert [(each.document_id, each.code) for each in report.outstanding] == [("tiered", "archived")]
    relay.before = lambda request: None
    with room.services() as services:
        assert not returning.roll_back_one(services, services.ledger.tenant("acme")).outstanding
    assert room.pointer("tiered")[0] == room.shared
