"""What fails on the way is repeated, and a request that was carried out unseen is not reported as failed."""

from __future__ import annotations

import os
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.support.http_relay import HungUp, Reply
from tests.support.s3_stub import error

from rehouse.core.errors import NoSuchObject, PreconditionFailed, StorageRefused, StorageUnavailable
from rehouse.core.model import ObjectRef
from rehouse.s3.objects.answers import Part
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.objects.http import ATTEMPTS
from rehouse.s3.objects.traffic import count_traffic
from rehouse.s3.session import Session

BODY = secrets.token_bytes(3_000_000)


@pytest.fixture
def ref(bucket):
    return ObjectRef(bucket, "documents/1/a b.pdf")


def times(number, reply):
    """A rule that answers so many requests itself, and hangs up if `reply` is None."""
    left = [number]

    def rule(*_):
        if left[0] <= 0:
            return None
        left[0] -= 1
        if reply is None:
            raise HungUp
        return reply

    return rule


def lose_answers(number):
    """A rule that loses so many answers of the server, after it has done what was asked."""
    left = [number]

    def rule(_request, reply):
        if left[0] > 0:
            left[0] -= 1
            raise HungUp
        return reply

    return rule


SLOW = Reply(503, error("SlowDown"))


@pytest.mark.parametrize("fault", [SLOW, Reply(500, error("InternalError")), None], ids=["503", "500", "a hang-up"])
def test_passing_faults_are_repeated(relayed, relay, ref, fault):
    for call in (
        lambda: relayed.put(ref, b"abc", content_type="a/b", only_new=False),
        lambda: relayed.head(ref).size == 3,
        lambda: relayed.get(ref).read() == b"abc",
        lambda: relayed.list_parts(ref, relayed.create_multipart(ref, content_type="a/b")) == [],
    ):
        relay.before = times(2, fault)
        assert call()


def test_a_server_that_keeps_failing_is_named(relayed, relay, ref):
    relay.before = times(100, SLOW)
    with count_traffic() as traffic, pytest.raises(StorageUnavailable) as failure:
        relayed.put(ref, b"abc", content_type="a/b")
    assert traffic.requests == ATTEMPTS
    assert failure.value.code == "SlowDown"
    assert ref.key in failure.value.message


@pytest.mark.parametrize("warm", [False, True], ids=["a new connection", "one used before"])
def test_a_put_whose_answer_is_lost_has_succeeded(relayed, relay, ref, warm):
    if warm:  # libcurl then sends the request again by itself
        relayed.head(ref)
    relay.after = lose_answers(1)
    put = relayed.put(ref, BODY, content_type="a/b")
    assert (put.size, relayed.get(ref).read()) == (len(BODY), BODY)
    relay.after = lose_answers(1)
    with pytest.raises(PreconditionFailed):
        relayed.put(ref, BODY[:-1] + b"x", content_type="a/b")
    assert relayed.get(ref).read() == BODY


@pytest.mark.parametrize("warm", [False, True], ids=["a new connection", "one used before"])
def test_what_was_done_unseen_is_no_failure(storage_settings, relay, ref, warm):
    client = ObjectClient(
        Session(storage_settings.model_copy(update={"endpoint_url": relay.url})), random=lambda: 0.001
    )
    put = client.put(ref, b"abc", content_type="a/b")
    target = ObjectRef(ref.bucket, "t")
    upload = client.create_multipart(target, content_type="a/b")
    part = Part(1, client.upload_part(target, upload, 1, b"abc"), 3)
    for call in (
        lambda: client.complete_multipart(target, upload, [part], only_new=True),
        lambda: client.delete(target),
        lambda: client.copy(ref, target, source_etag=put.etag, size=3, only_new=False),
        lambda: client.delete(ref, if_match=put.etag),
    ):
        if not warm:
            client.close()
        relay.after = lose_answers(1)
        call()
    assert client.head(ref) is None
    assert client.head(target).size == 3


@pytest.mark.parametrize("warm", [False, True], ids=["a new connection", "one used before"])
def test_a_condition_that_fails_because_of_ourselves_holds(relayed, relay, ref, warm):
    target = ObjectRef(ref.bucket, "t")
    put = relayed.put(ref, b"abc", content_type="a/b")
    for method, call in (
        ("PUT", lambda: relayed.copy(ref, target, source_etag=put.etag, size=3)),
        ("DELETE", lambda: relayed.delete(target, if_match=put.etag)),
    ):
        sent = []

        def before(request, method=method, sent=sent):
            sent += [1] if request.method == method else []
            return Reply(412, error("PreconditionFailed")) if request.method == method and len(sent) > 1 else None

        if not warm:
            relayed.close()
        relay.before = before
        relay.after = lose_first(method)
        call()
        assert len(sent) == 2
        assert (relayed.head(target) is None) is (method == "DELETE")


def lose_first(method):
    """A rule that loses the first answer to this method."""
    left = [1]

    def rule(request, reply):
        if request.method == method and left[0]:
            left[0] = 0
            raise HungUp
        return reply

    return rule


def cut(relay, *lengths):
    """Cut the bodies of the next GETs after so many bytes."""
    left = list(lengths)

    def after(request, reply):
        if request.method != "GET" or not left or reply.status not in (200, 206):
            return reply
        return Reply(reply.status, reply.body[: left.pop(0)], reply.headers, announced=len(reply.body))

    relay.after = after


def test_a_download_goes_on_where_the_connection_was_lost(relayed, relay, ref):
    put = relayed.put(ref, BODY, content_type="a/b")
    relay.forget()
    cut(relay, 1_000_000, 10, 0, 700_000)
    with count_traffic() as traffic, relayed.get(ref) as download:
        assert download.read() == BODY
    ranges = [seen.headers.get("range") for seen in relay.seen]
    assert ranges == [
        None,
        "bytes=1000000-2999999",
        "bytes=1000010-2999999",
        "bytes=1000010-2999999",
        "bytes=1700010-2999999",
    ]
    assert [seen.headers.get("if-match") for seen in relay.seen] == [None] + [f'"{put.etag}"'] * 4
    assert (traffic.requests, traffic.bytes_in) == (5, len(BODY))


def test_a_range_goes_on_within_its_bounds(relayed, relay, ref):
    relayed.put(ref, BODY, content_type="a/b")
    cut(relay, 100)
    assert relayed.get(ref, start=1000, end=2000).read() == BODY[1000:2000]
    assert relay.seen[-1].headers["range"] == "bytes=1100-1999"
    cut(relay, 100)
    assert relayed.get(ref, start=-1000).read() == BODY[-1000:]


def test_a_download_never_mixes_two_objects(relayed, relay, ref):
    relayed.put(ref, BODY, content_type="a/b")
    cut(relay, 1000)
    download = relayed.get(ref)
    begun = download.read(1000)
    assert begun == BODY[:1000]
    relayed.put(ref, BODY[::-1], content_type="a/b", only_new=False)
    with pytest.raises(PreconditionFailed) as changed:
        download.read()
    assert ref.key in changed.value.message


def test_an_object_deleted_meanwhile_is_missing(relayed, relay, ref):
    relayed.put(ref, BODY, content_type="a/b")
    cut(relay, 1000)
    download = relayed.get(ref)
    relayed.delete(ref)
    with pytest.raises(NoSuchObject):
        download.read()


def test_a_connection_that_is_lost_for_ever_is_told(relayed, relay, ref):
    relayed.put(ref, BODY, content_type="a/b")
    cut(relay, 1000, *[0] * 100)
    with pytest.raises(StorageUnavailable) as failure:
        relayed.get(ref).read()
    assert failure.value.code == "ConnectionLost"


def test_a_server_without_ranges_is_read_all_the_same(relayed, relay, ref):
    relayed.put(ref, BODY, content_type="a/b")
    headers = (("ETag", '"x"'), ("Last-Modified", "Wed, 25 Nov 2026 00:00:00 GMT"))
    relay.before = lambda request: Reply(200, BODY, headers)
    assert relayed.get(ref, start=1_000_000, end=1_000_500).read() == BODY[1_000_000:1_000_500]
    assert relayed.get(ref, start=2_999_000).read() == BODY[2_999_000:]


def temporary(monkeypatch, tmp_path, settings, relay):
    """A client whose credentials come from a program; they are short of their end, so each renewal brings another token."""
    program, count = tmp_path / "program.py", tmp_path / "count"
    count.write_text("0")
    program.write_text(f"""
import json, pathlib
count = pathlib.Path({str(count)!r})
number = int(count.read_text()) + 1
count.write_text(str(number))
print(json.dumps({{"Version": 1, "AccessKeyId": {os.environ["AWS_ACCESS_KEY_ID"]!r},
    "SecretAccessKey": {os.environ["AWS_SECRET_ACCESS_KEY"]!r}, "SessionToken": f"token-{{number}}",
    "Expiration": {(datetime.now(UTC) + timedelta(minutes=5)).isoformat()!r}}}))
""")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return ObjectClient(Session(settings.model_copy(update={"endpoint_url": relay.url})), random=lambda: 0.001)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_expired_token_is_renewed_and_the_call_repeated(monkeypatch, tmp_path, storage_settings, relay, ref, method):
    client = temporary(monkeypatch, tmp_path, storage_settings, relay)
    found = (("Content-Type", "a/b"), ("ETag", '"x"'), ("Last-Modified", "Wed, 25 Nov 2026 00:00:00 GMT"))

    def before(request):
        if request.headers["x-amz-security-token"] == relay.seen[0].headers["x-amz-security-token"]:
            return Reply(400, b"" if method == "HEAD" else error("ExpiredToken"))
        return Reply(200, b"" if method == "HEAD" else b"abc", found, announced=3 if method == "HEAD" else None)

    relay.before = before
    assert (client.head(ref).size if method == "HEAD" else len(client.get(ref).read())) == 3
    assert len(relay.seen) == 2


def test_a_token_that_stays_expired_is_told_once(relayed, relay, ref):
    relay.before = times(100, Reply(400, error("ExpiredToken")))
    with count_traffic() as traffic, pytest.raises(StorageRefused) as refusal:
        relayed.get(ref)
    assert (refusal.value.code, traffic.requests) == ("ExpiredToken", 2)
    assert "renew" in refusal.value.hint


def test_the_servers_clock_is_adopted(storage_settings, relay, ref):
    hour = 3600.0
    session = Session(storage_settings.model_copy(update={"endpoint_url": relay.url}))
    client = ObjectClient(session, clock=lambda: time.time() - 5 * hour, random=lambda: 0.001)
    relay.before = lambda request: (
        Reply(403, error("RequestTimeTooSkewed"), (("Date", format_datetime(datetime.now(UTC), usegmt=True)),))
        if request.headers["x-amz-date"] < (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y%m%dT%H%M%SZ")
        else None
    )
    client.put(ref, b"abc", content_type="a/b")
    assert len(relay.seen) == 2
    assert f"X-Amz-Date={datetime.now(UTC):%Y%m%dT%H}" in client.presigner.get_url(ref, expires=60)


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_not_followed_and_names_the_region(relayed, relay, ref, status):
    elsewhere = (("Location", "http://127.0.0.1:1/"), ("x-amz-bucket-region", "eu-west-9"))
    relay.before = lambda request: Reply(status, error("PermanentRedirect"), elsewhere)
    for call in (lambda: relayed.get(ref), lambda: relayed.put(ref, b"a", content_type="a/b")):
        with pytest.raises(StorageRefused) as refusal:
            call()
        assert "eu-west-9" in refusal.value.hint
    assert len(relay.seen) == 2


def test_an_endpoint_that_nobody_serves_is_told_soon(storage_settings, ref):
    client = ObjectClient(
        Session(storage_settings.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})), random=lambda: 0.001
    )
    with count_traffic() as traffic, pytest.raises(StorageRefused) as refusal:
        client.put(ref, b"abc", content_type="a/b")
    assert (refusal.value.code, traffic.requests) == ("Unreachable", 3)
    assert "http://127.0.0.1:9" in refusal.value.message


def test_where_conditions_are_not_offered_it_looks_first(relayed, relay, ref):
    relay.before = lambda request: Reply(501, error("NotImplemented")) if "if-none-match" in request.headers else None
    assert relayed.put(ref, b"abc", content_type="a/b").size == 3
    with pytest.raises(PreconditionFailed):
        relayed.put(ref, b"other", content_type="a/b")
    assert relayed.get(ref).read() == b"abc"


def test_an_error_in_the_body_of_a_success_is_an_error(relayed, relay, ref):
    target = ObjectRef(ref.bucket, "t")
    put = relayed.put(ref, b"abc", content_type="a/b")
    relay.before = lambda request: Reply(200, error("InternalError")) if request.method in {"PUT", "POST"} else None
    with pytest.raises(StorageUnavailable):
        relayed.copy(ref, target, source_etag=put.etag, size=3)
    with pytest.raises(StorageUnavailable):
        relayed.complete_multipart(target, "u", [Part(1, "0" * 32, 3)], only_new=True)
    with pytest.raises(StorageUnavailable):
        relayed.create_multipart(target, content_type="a/b")
    assert relayed.head(target) is None


PAGES = {
    "": b"<ListVersionsResult><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>"
    b"<NextKeyMarker>d/a%20b</NextKeyMarker><NextVersionIdMarker>v+/1</NextVersionIdMarker>"
    b"<Version><Key>d/a%20b</Key><VersionId>v+/1</VersionId><IsLatest>true</IsLatest><ETag>&quot;e&quot;</ETag><Size>3</Size>"
    b"<LastModified>2026-11-25T00:00:00.000Z</LastModified></Version></ListVersionsResult>",
    "d/a b": b"<ListVersionsResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>"
    b"<DeleteMarker><Key>d/b</Key><VersionId>m</VersionId><IsLatest>false</IsLatest>"
    b"<LastModified>2026-11-25T00:00:00.000Z</LastModified></DeleteMarker></ListVersionsResult>",
}


def test_all_pages_of_versions_are_read(relayed, relay, bucket):
    relay.before = lambda request: Reply(200, PAGES[request.query.get("key-marker", [""])[0]])
    found = [(each.key, each.version, each.size, each.is_marker) for each in relayed.versions(bucket, "d/")]
    assert found == [("d/a b", "v+/1", 3, False), ("d/b", "m", 0, True)]
    assert relay.seen[1].query["version-id-marker"] == ["v+/1"]
    relay.before = lambda request: Reply(200, PAGES[""])
    with pytest.raises(StorageRefused, match="for ever"):
        list(relayed.versions(bucket, "d/"))
    with pytest.raises(StorageRefused, match="not asked for"):
        list(relayed.versions(bucket, "other/"))
    relay.before = lambda request: Reply(200, PAGES["d/a b"].replace(b"<VersionId>m</VersionId>", b""))
    with pytest.raises(StorageRefused) as refusal:
        list(relayed.versions(bucket, "d/"))
    assert refusal.value.code == "MalformedListing"
