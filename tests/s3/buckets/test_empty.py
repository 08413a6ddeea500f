"""Emptying a bucket: on the real server version by version, on the scripted one what S3 may answer in between."""

from __future__ import annotations

import pytest
from tests.support.faults import refusal
from tests.support.http_relay import HttpRelay
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.s3.buckets import empty
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

KEYS = ("a", "with space", "é/ü.txt", "plus+percent%25", "new\nline", "a//b", "<&>")
"""No `\\r` and no control characters: the server here does not encode its listings, as S3 does."""


@pytest.fixture
def control(storage_settings: Settings) -> Control:
    """A control plane over the real server."""
    return Control(Session(storage_settings))


@pytest.fixture
def filled(root, target) -> str:
    """A versioned bucket with two versions of every key, a delete marker and an open upload."""
    for key in KEYS:
        root.put_object(Bucket=target, Key=key, Body=b"old")
        root.put_object(Bucket=target, Key=key, Body=b"newer")
    root.delete_object(Bucket=target, Key="a")
    root.create_multipart_upload(Bucket=target, Key="large/é")
    return target


def test_everything_in_a_bucket_is_told(control: Control, filled: str) -> None:
    found = list(empty.versions(control, filled))
    assert {version.key for version in found} == set(KEYS)
    assert len(found) == 2 * len(KEYS) + 1
    assert [version.key for version in found if version.etag is None] == ["a"]
    current = {version.key: version.size for version in found if version.is_current}
    assert current == {key: 0 if key == "a" else 5 for key in KEYS}
    assert [upload.key for upload in empty.uploads(control, filled)] == ["large/é"]


def test_a_bucket_is_emptied_and_removed_and_that_again(control: Control, filled: str) -> None:
    doomed, begun = list(empty.versions(control, filled)), list(empty.uploads(control, filled))
    for _ in range(2):
        assert empty.delete_versions(control, filled, doomed) == len(doomed)
        assert empty.abort_uploads(control, filled, begun) == 1
    assert list(empty.versions(control, filled)) == list(empty.uploads(control, filled)) == []
    for _ in range(2):
        empty.delete_bucket(control, filled)
    assert control.head(filled).whose == "absent"


def test_without_delete_objects_versions_go_one_by_one(storage_settings, s3_server, filled):
    with HttpRelay(s3_server.port) as relay:
        relay.before = lambda request: (
            refusal(501, "NotImplemented")(request) if request.operation == "POST delete" else None
        )
        control = Control(Session(storage_settings.model_copy(update={"endpoint_url": relay.url})))
        doomed = list(empty.versions(control, filled))
        assert empty.delete_versions(control, filled, doomed) == len(doomed)
        assert empty.delete_versions(control, filled, doomed) == len(doomed)
        assert list(empty.versions(control, filled)) == []
        assert [each.operation for each in relay.seen].count("POST delete") == 1


def test_only_what_is_handed_in_goes(control: Control, filled: str) -> None:
    before = list(empty.versions(control, filled))
    doomed = [version for version in before if version.key == "é/ü.txt" and not version.is_current]
    assert empty.delete_versions(control, filled, doomed) == 1
    assert set(before) - set(empty.versions(control, filled)) == set(doomed)


def test_a_bucket_that_is_not_empty_stays(control: Control, filled: str) -> None:
    with pytest.raises(StorageRefused) as refusal:
        empty.delete_bucket(control, filled)
    assert refusal.value.code == "BucketNotEmpty"
    assert control.head(filled).whose == "ours"


def stubbed(url: str, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")
    return Control(Session(Settings(endpoint_url=url)))


def result(*errors: bytes) -> bytes:
    return b"<DeleteResult>" + b"".join(errors) + b"</DeleteResult>"


def failure(code: str) -> bytes:
    return f"<Error><Key>k0</Key><Code>{code}</Code><Message>a sentence</Message></Error>".encode()


@pytest.mark.parametrize(
    ("code", "raised"),
    [("AccessDenied", StorageRefused), ("SlowDown", StorageUnavailable), ("InternalError", StorageUnavailable)],
)
def test_one_that_s3_does_not_delete_is_an_error(monkeypatch, code: str, raised: type[Exception]) -> None:
    def answer(seen: Seen) -> Scripted:
        return (
            Scripted(body=result(failure("NoSuchVersion"), failure(code))) if "delete" in seen.path else Scripted(403)
        )

    doomed = [empty.Version(f"k{n}", f"v{n}", "e", 1, True) for n in range(3)]
    with serving(answer) as stub, pytest.raises(raised, match="k0"):
        empty.delete_versions(stubbed(stub.url, monkeypatch), "home", doomed)


def test_a_thousand_go_at_a_time_each_by_its_version(monkeypatch) -> None:
    def answer(seen: Seen) -> Scripted:
        return Scripted(body=result()) if "delete" in seen.path else Scripted(403, error("AccessDenied"))

    doomed = [empty.Version(f"k{n}", f"v{n}", "e", 1, True) for n in range(2001)]
    with serving(answer) as stub:
        assert empty.delete_versions(stubbed(stub.url, monkeypatch), "home", doomed) == 2001
        asked = [seen for seen in stub.seen if "delete" in seen.path]
    assert [seen.method for seen in asked] == ["POST"] * 3


def test_a_key_that_xml_cannot_carry_has_a_request_of_its_own(monkeypatch) -> None:
    def answer(seen: Seen) -> Scripted:
        if seen.method == "DELETE":
            return Scripted(204, b"")
        return Scripted(body=result()) if "delete" in seen.path else Scripted(403, error("AccessDenied"))

    doomed = [empty.Version(key, "v/1", "e", 1, True) for key in ("bell\x07", "plain")]
    with serving(answer) as stub:
        assert empty.delete_versions(stubbed(stub.url, monkeypatch), "home", doomed) == 2
        asked = [(seen.method, seen.path) for seen in stub.seen if seen.path.startswith("/home")]
    assert asked == [("POST", "/home?delete"), ("DELETE", "/home/bell%07?versionId=v%2F1")]


def test_a_listing_is_decoded(monkeypatch) -> None:
    listed = (
        b"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Version><Key>a%0D%07+b</Key>"
        b"<VersionId>v</VersionId><IsLatest>true</IsLatest><ETag>&quot;e&quot;</ETag><Size>3</Size></Version></ListVersionsResult>"
    )
    begun = (
        b"<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Upload><Key>a%0D%07+b</Key>"
        b"<UploadId>u</UploadId></Upload></ListMultipartUploadsResult>"
    )

    def answer(seen: Seen) -> Scripted:
        if "encoding-type=url" not in seen.path:
            return Scripted(403, error("AccessDenied"))
        return Scripted(body=listed if "versions" in seen.path else begun)

    with serving(answer) as stub:
        control = stubbed(stub.url, monkeypatch)
        assert list(empty.versions(control, "home")) == [empty.Version("a\r\x07 b", "v", "e", 3, True)]
        assert list(empty.uploads(control, "home")) == [empty.Upload("a\r\x07 b", "u")]


def test_a_listing_that_fails_is_never_an_empty_bucket(monkeypatch) -> None:
    with serving(lambda _: Scripted(403, error("AccessDenied"))) as stub:
        control = stubbed(stub.url, monkeypatch)
        for listing in (empty.versions, empty.uploads):
            with pytest.raises(StorageRefused):
                list(listing(control, "home"))
