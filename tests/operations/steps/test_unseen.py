"""What S3 would not tell about is never taken for fine, for missing or for changed; and the report has S3's own reason."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay, Reply, Request
from tests.support.returns import at_home, returned, roll_back

from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.audit import audit
from rehouse.operations.buckets.findings import FindingKind
from rehouse.operations.cleanup import cleanup
from rehouse.operations.steps import proofs
from rehouse.s3.buckets.upload_probe import takes_uploads

SILENT = "HTTP405"


@pytest.fixture
def relay(room: Room) -> Iterator[HttpRelay]:
    """A relay to the room's server."""
    with HttpRelay(room.server.port) as made:
        yield made


def no_head(key: str, *, checksums: bool = False) -> Callable[[Request], Reply | None]:
    """A rule: a HEAD of this key (with `checksums` only one that asks for them) is answered with a status that says nothing."""

    def before(request: Request) -> Reply | None:
        asks = b"\r\nx-amz-checksum-mode:" in request.head.lower()
        is_meant = request.operation == "HEAD object" and request.key == key and (asks or not checksums)
        return Reply(405, b"") if is_meant else None

    return before


def forbidden(operation: str, bucket: str) -> Callable[[Request], Reply | None]:
    """A rule: this setting of this bucket may not be read."""

    def before(request: Request) -> Reply | None:
        is_meant = request.operation == operation and request.bucket == bucket
        return Reply(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>") if is_meant else None

    return before


def in_parts(room: Room, key: str, body: bytes, bucket: str | None = None) -> None:
    """Upload an object in one part, so that its ETag is no MD5; what is written next is newer by S3's clock of seconds."""
    place = {"Bucket": bucket or room.shared, "Key": key}
    upload = {**place, "UploadId": room.root.create_multipart_upload(**place)["UploadId"]}
    part = {"PartNumber": 1, "ETag": room.root.upload_part(**upload, PartNumber=1, Body=body)["ETag"]}
    room.root.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    time.sleep(1.1)


def test_a_copy_that_cannot_be_looked_at_is_not_flipped(
    room: Room, relay: HttpRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "is_listing_cheaper", lambda *_: False)  # by HEADs
    room.documents("a", "b")
    relay.before = no_head(at_home(room, "a"))
    report = room.migrate(endpoint_url=relay.url)
    [left] = report.outstanding
    assert (left.document_id, left.code, report.this_run) == ("a", SILENT, 1)
    assert "Mismatch" not in str(room.sql("SELECT error_message FROM s3_migrations"))
    assert room.pointer("a") == (room.shared, "k/a")
    assert room.migrate().status is Status.COMPLETED
    assert room.body("a") == b"a"


def test_a_target_without_a_known_checksum_is_left_alone(room: Room, relay: HttpRelay) -> None:
    room.migrate(until=Phase.PROVISIONED)
    in_parts(room, "k/a", b"a")
    room.row("a", "k/a", bucket=room.shared)
    etag = room.put(at_home(room, "a"), b"a", bucket=room.home())
    relay.before = no_head(at_home(room, "a"), checksums=True)
    room.documents("b")  # with which the tenant is cut over: a home that is not live has nothing of the application's
    report = room.migrate(endpoint_url=relay.url)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", SILENT)]
    assert (report.copied, report.adopted, report.this_run) == (1, 0, 1)
    assert [each.code for each in room.migrate().outstanding] == ["target_taken"], "no checksum on both sides"
    assert room.root.head_object(Bucket=room.home(), Key=at_home(room, "a"))["ETag"].strip('"') == etag


def test_a_late_write_whose_checksum_is_not_told_is_no_conflict(room: Room, relay: HttpRelay) -> None:
    room.documents("a")
    room.migrate()
    in_parts(room, "k/a", b"late")
    room.put(at_home(room, "a"), b"late", bucket=room.home())
    relay.before = no_head("k/a", checksums=True)
    report = room.migrate(endpoint_url=relay.url)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", SILENT)]
    assert report.late_writes == 0


def test_a_returned_copy_without_a_checksum_is_not_made_twice(room: Room, relay: HttpRelay) -> None:
    room.documents("a")
    room.migrate()
    in_parts(room, "uploads/new", b"new", bucket=room.home())
    room.row("new", "uploads/new", bucket=room.home())
    room.put(returned("new"), b"new")
    relay.before = no_head(returned("new"), checksums=True)
    report = roll_back(room, endpoint_url=relay.url)
    assert [(each.document_id, each.code) for each in report.outstanding] == [("new", SILENT)]
    assert [key for key in room.keys(room.shared) if key.startswith("returned/")] == [returned("new")]
    assert room.body("new") == b"new"


def test_versions_that_may_not_be_asked_for_are_not_none(room: Room, relay: HttpRelay) -> None:
    relay.before = forbidden("GET versioning", room.shared)
    with (
        room.services(writes=False, endpoint_url=relay.url) as services,
        pytest.raises(StorageRefused, match="keeps versions"),
    ):
        cleanup(services)


def audited(room: Room, relay: HttpRelay) -> list[tuple[str, str | None, str | None]]:
    with room.services(writes=False, endpoint_url=relay.url) as services:
        report = audit(services)
    assert not report.is_well
    return [(each.kind, each.bucket, each.setting) for each in report.findings]


@pytest.mark.parametrize("what", ["nobody's tags", "the logs' tags", "the shared bucket's origins"])
def test_a_bucket_whose_settings_may_not_be_read_is_not_well(room: Room, relay: HttpRelay, what: str) -> None:
    room.documents("a")
    room.migrate()
    prefix = room.settings.bucket_prefix
    if what == "nobody's tags":
        bucket, operation, setting = f"{prefix}-nobodys", "GET tagging", "tags"
        room.root.create_bucket(Bucket=bucket)
    elif what == "the logs' tags":
        bucket, operation, setting = f"{prefix}-own-logs", "GET tagging", None
        room.root.create_bucket(Bucket=bucket)
        room.settings = room.settings.model_copy(update={"log_bucket": bucket})
    else:
        bucket, operation, setting = room.shared, "GET cors", "cors"
    relay.before = forbidden(operation, bucket)
    assert (FindingKind.COULD_NOT_CHECK, bucket, setting) in audited(room, relay)


def test_an_upload_that_nobody_answered_was_not_taken(room: Room, relay: HttpRelay) -> None:
    relay.before = lambda request: (
        Reply(503, b"<Error><Code>SlowDown</Code></Error>") if request.operation == "PUT object" else None
    )
    with room.services(writes=False, endpoint_url=relay.url) as services, pytest.raises(StorageUnavailable):
        takes_uploads(services.control, room.shared)
