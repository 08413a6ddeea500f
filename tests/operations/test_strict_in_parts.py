"""Large documents through a relay as strict as S3: it proves them by checksum, and an end without conditions is told."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.conditions import TARGET, adopted, appearing, unconditional
from tests.support.data_room import Room, md5
from tests.support.http_relay import Before, Reply, Request
from tests.support.parts import IN_PARTS, PART_BYTES
from tests.support.strict_relay import StrictRelay
from tests.support.whole_checksums import HEADER, WholeChecksums, crc64nvme

from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.report import NOT_GUARDED

BODY = bytes(range(250)) * 4200


@pytest.fixture
def large(room: Room, strict: StrictRelay) -> Room:
    """A room with one document, which goes in three parts; HEAD tells its checksum."""
    WholeChecksums(strict)
    room.settings = room.settings.model_copy(update=IN_PARTS)
    room.put("k/a", BODY)
    room.row("a", "k/a", bucket=room.shared)
    return room


def ends(relay: StrictRelay) -> list[Request]:
    return [each for each in relay.seen if each.operation == "POST upload" and "uploadId" in each.query]


def open_uploads(room: Room) -> list[Any]:
    return room.root.list_multipart_uploads(Bucket=room.home()).get("Uploads", [])


def spoiling(room: Room) -> Before:
    """Return a rule: the second part is stored with other bytes, and S3 says that all is well."""

    def spoil(request: Request) -> Reply | None:
        if request.operation != "UploadPartCopy" or request.query["partNumber"] != ["2"]:
            return None
        upload = {"Bucket": request.bucket, "Key": request.key, "UploadId": request.query["uploadId"][0]}
        etag = room.root.upload_part(**upload, PartNumber=2, Body=bytes(PART_BYTES))["ETag"].strip('"')
        return Reply(200, f"<CopyPartResult><ETag>&quot;{etag}&quot;</ETag></CopyPartResult>".encode())

    return spoil


def test_the_checksum_of_the_source_is_what_the_end_is_held_to(large: Room, strict: StrictRelay) -> None:
    report = large.migrate()
    assert (report.status, large.body("a")) == (Status.COMPLETED, BODY)
    (end,) = ends(strict)
    assert (end.headers[HEADER], end.headers["x-amz-checksum-type"]) == (crc64nvme(BODY), "FULL_OBJECT")
    assert (end.headers["x-amz-mp-object-size"], end.headers["if-none-match"]) == (str(len(BODY)), "*")
    assert large.verify(deep=True).is_well


def test_bytes_that_went_bad_on_the_way_never_become_a_document(large: Room, strict: StrictRelay) -> None:
    large.documents("small")
    strict.meanwhile = spoiling(large)
    report = large.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "BadDigest")]
    assert (open_uploads(large), large.keys(large.home())) == ([], ["documents/small/small.txt"])
    assert large.pointer("a") == (large.shared, "k/a")
    strict.meanwhile = lambda request: None
    again = large.migrate()
    assert (again.status, again.this_run, large.body("a")) == (Status.COMPLETED, 1, BODY)
    assert open_uploads(large) == []


def test_what_appears_before_the_end_is_never_covered(large: Room, strict: StrictRelay) -> None:
    home = adopted(large)
    strict.meanwhile = appearing(large, home, times=1, operation="UploadPartCopy")
    report = large.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "target_taken")]
    assert large.root.get_object(Bucket=home, Key=TARGET)["Body"].read() == b"somebody's, 0"
    assert open_uploads(large) == []


@pytest.mark.parametrize("again", [False, True], ids=["the first copy", "a copy again"])
def test_an_unconditional_completion_is_told(large: Room, strict: StrictRelay, again: bool) -> None:
    if again:
        large.migrate(until=Phase.COPIED)
        large.put("k/a", BODY[::-1])
        strict.seen.clear()
    strict.meanwhile = unconditional
    report = large.migrate()
    wanted = BODY[::-1] if again else BODY
    assert (report.status, large.body("a")) == (Status.COMPLETED, wanted)
    first, second = ends(strict)
    assert first.headers.get("if-match" if again else "if-none-match")
    assert not {"if-none-match", "if-match"} & second.headers.keys()
    assert second.headers[HEADER] == crc64nvme(wanted)
    assert NOT_GUARDED in report.not_offered
    assert open_uploads(large) == []
    etag = large.root.head_object(Bucket=large.home(), Key=TARGET)["ETag"].strip('"')
    assert large.sql("SELECT target_etag, source_etag FROM s3_migration_documents") == [(etag, md5(wanted))]
