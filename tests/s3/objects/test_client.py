"""One object at a time on a real server: what is written is what is read, in as few requests as S3 allows."""

from __future__ import annotations

import secrets
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.children import in_child
from tests.support.http_relay import Reply
from tests.support.s3_stub import Scripted, error, script

from rehouse.config import Settings
from rehouse.core.errors import NoSuchObject, PreconditionFailed, StorageRefused, StorageUnavailable
from rehouse.core.model import ObjectRef
from rehouse.s3.faults import ABSENT
from rehouse.s3.objects.answers import Part
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.objects.traffic import count_traffic
from rehouse.s3.session import Session

KEY = "documents/a b/../Übersicht +%2F?*'.pdf"
MIB = 1024 * 1024
PART = 5 * MIB


@pytest.fixture
def ref(bucket):
    return ObjectRef(bucket, KEY)


def versioned(root, bucket):
    root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def test_what_is_put_is_what_is_got(client, ref):
    body = secrets.token_bytes(100_000)
    with count_traffic() as traffic:
        put = client.put(ref, body, content_type="application/pdf", headers={"x-amz-meta-who": "me"})
        with client.get(ref) as download:
            assert download.read() == body
    assert (traffic.requests, traffic.bytes_out, traffic.bytes_in) == (2, len(body), len(body))
    head = client.head(ref, with_checksums=True)
    for found in (put, download.object, head):
        assert (found.etag, found.size, found.content_type) == (put.etag, len(body), "application/pdf")
    assert head.headers["x-amz-meta-who"] == "me"
    assert abs((head.modified_at - put.modified_at).total_seconds()) < 10


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=["bytes", "bytearray", "memoryview"])
def test_a_body_of_any_kind_and_size_arrives_whole(client, ref, size, kind):
    body = secrets.token_bytes(size)
    assert client.put(ref, kind(body), content_type="a/b").size == size
    with client.get(ref) as download:
        assert b"".join(download) == body


def test_a_wide_view_is_sent_by_its_bytes(client, ref):
    view = memoryview(bytes(range(16))).cast("I")
    assert client.put(ref, view, content_type="a/b").size == 16
    assert client.get(ref).read() == bytes(range(16))


RANGES = [(0, 1), (0, 100), (3, 7), (99, 100), (50, None), (0, 1000), (-1, None), (-100, None), (-1000, None)]


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_a_range_is_a_slice_and_knows_the_whole_size(client, ref, start, end):
    body = bytes(range(100))
    client.put(ref, body, content_type="a/b")
    with count_traffic() as traffic, client.get(ref, start=start, end=end) as download:
        assert download.read(3) + download.read() == body[start:end]
        assert download.object.size == 100
        assert download.read(1) == download.read() == b""
    assert traffic.requests == 1


def test_a_range_behind_the_end_is_refused(client, ref):
    client.put(ref, b"abc", content_type="a/b")
    with pytest.raises(StorageRefused) as refusal:
        client.get(ref, start=3)
    assert refusal.value.code == "InvalidRange"
    with pytest.raises(ValueError, match="no byte"):
        client.get(ref, start=3, end=3)


def test_nothing_is_overwritten_unless_asked_for(client, ref):
    first = client.put(ref, b"first", content_type="a/b")
    with count_traffic() as traffic, pytest.raises(PreconditionFailed) as refusal:
        client.put(ref, b"other", content_type="a/b")
    assert traffic.requests == 1
    assert ref.key in refusal.value.message
    assert client.get(ref).read() == b"first"
    second = client.put(ref, b"second", content_type="a/b", only_new=False)
    assert second.etag != first.etag
    assert client.get(ref, if_match=second.etag).read() == b"second"
    with pytest.raises(PreconditionFailed):
        client.get(ref, if_match=first.etag)


def test_a_missing_object_is_told_in_each_call_alike(client, ref):
    with pytest.raises(NoSuchObject) as missing:
        client.get(ref)
    assert (missing.value.code, missing.value.subject) == ("NoSuchKey", f"s3://{ref.bucket}/{ref.key}")
    assert client.head(ref) is None
    client.delete(ref)
    with pytest.raises(NoSuchObject):
        client.copy(ref, ObjectRef(ref.bucket, "t"), source_etag="0" * 32, size=1)
    client.abort_multipart(ref, "none")


def test_a_missing_bucket_never_looks_like_a_missing_object(client):
    nowhere = ObjectRef("no-such-bucket-here", "a")
    calls = [
        lambda: client.head(nowhere),
        lambda: client.get(nowhere),
        lambda: client.delete(nowhere),
        lambda: client.put(nowhere, b"a", content_type="a/b"),
        lambda: list(client.versions(nowhere.bucket, "")),
        lambda: client.create_multipart(nowhere, content_type="a/b"),
    ]
    for call in calls:
        with pytest.raises(StorageRefused) as refusal:
            call()
        assert refusal.value.code == "NoSuchBucket"
        assert not isinstance(refusal.value, NoSuchObject)


def test_a_missing_head_asks_for_the_bucket_once(client, ref):
    with count_traffic() as traffic:
        assert [client.head(ref) for _ in range(3)] == [None] * 3
    assert traffic.requests == 4


def test_each_call_is_one_request(client, ref):
    other = ObjectRef(ref.bucket, "other")
    put = client.put(ref, b"abc", content_type="a/b")

    def cost(call):
        with count_traffic() as traffic:
            call()
        return traffic.requests

    assert cost(lambda: client.head(ref)) == 1
    assert cost(lambda: client.get(ref).read()) == 1
    assert cost(lambda: client.copy(ref, other, source_etag=put.etag, size=3, only_new=False)) == 1
    assert cost(lambda: client.delete(other)) == 1
    assert cost(lambda: list(client.versions(ref.bucket, "documents/"))) == 1
    assert cost(lambda: client.presigner.get_url(ref, expires=60)) == 0
    with count_traffic() as traffic:
        upload = client.create_multipart(ref, content_type="a/b")
        etag = client.upload_part(ref, upload, 1, b"abc")
        parts = client.list_parts(ref, upload)
        client.complete_multipart(ref, upload, parts, only_new=False)
    assert (traffic.requests, parts) == (4, [Part(1, etag, 3)])


def test_wrong_keys_are_told_without_the_secret(storage_settings, bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-right-secret")
    client = ObjectClient(Session(storage_settings))
    for call in (
        lambda: client.put(ObjectRef(bucket, "a"), b"a", content_type="a/b"),
        lambda: client.get(ObjectRef(bucket, "a")),
    ):
        with pytest.raises(StorageRefused) as refusal:
            call()
        assert refusal.value.code == "SignatureDoesNotMatch"
        assert "AWS_SECRET_ACCESS_KEY" in refusal.value.hint
        assert "not-the-right-secret" not in refusal.value.message + refusal.value.hint


BAD = {
    "a line break": {"x-amz-meta-a": "a\r\nx-evil: 1"},
    "a zero byte": {"x-amz-meta-a": "a\0b"},
    "a letter outside ASCII": {"content-disposition": "ü"},
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
def test_a_header_that_cannot_be_sent_is_refused(client, ref, headers):
    with count_traffic() as traffic:
        for call in (
            lambda: client.put(ref, b"a", content_type="a/b", headers=headers),
            lambda: client.create_multipart(ref, content_type="a/b", headers=headers),
            lambda: client.put(ref, b"a", content_type=next(iter(headers.values()))),
        ):
            with pytest.raises(StorageRefused) as refusal:
                call()
            assert refusal.value.code == "InvalidRequest"
            assert "holds a line break" in refusal.value.message
    assert traffic.requests == 0
    for impossible in (ObjectRef(ref.bucket, ""), ObjectRef("a/../b", "a")):
        with pytest.raises(StorageRefused, match="InvalidRequest"):
            client.head(impossible)


def test_an_upload_in_parts_becomes_one_object(client, ref):
    first, second = secrets.token_bytes(PART), b"the end"
    upload = client.create_multipart(ref, content_type="a/b", headers={"x-amz-meta-who": "me"})
    parts = [
        Part(number, client.upload_part(ref, upload, number, body), len(body))
        for number, body in ((2, memoryview(second)), (1, first))
    ]
    assert client.list_parts(ref, upload) == parts[::-1]
    made = client.complete_multipart(ref, upload, parts[::-1], only_new=True)
    head = client.head(ref)
    assert (made.etag, made.size) == (head.etag, head.size) == (made.etag, PART + 7)
    assert head.headers["x-amz-meta-who"] == "me"
    assert client.get(ref).read() == first + second


def test_an_aborted_upload_is_gone(client, ref):
    upload = client.create_multipart(ref, content_type="a/b")
    etag = client.upload_part(ref, upload, 1, b"abc")
    client.abort_multipart(ref, upload)
    client.abort_multipart(ref, upload)
    with pytest.raises(NoSuchObject) as gone:
        client.list_parts(ref, upload)
    assert gone.value.code in ABSENT
    with pytest.raises((NoSuchObject, StorageUnavailable)):  # Ceph: "this completion is already in progress", for ever
        client.complete_multipart(ref, upload, [Part(1, etag, 3)], only_new=False)
    assert client.head(ref) is None


def test_a_part_that_changed_is_refused(client, ref):
    upload = client.create_multipart(ref, content_type="a/b")
    client.upload_part(ref, upload, 1, b"abc")
    with pytest.raises(StorageRefused) as refusal:
        client.complete_multipart(ref, upload, [Part(1, "0" * 32, 3)], only_new=True)
    assert refusal.value.code == "InvalidPart"


def test_versions_are_listed_with_their_markers(client, ref, root):
    versioned(root, ref.bucket)
    made = [client.put(ref, body, content_type="a/b", only_new=False) for body in (b"1", b"22")]
    client.put(ObjectRef(ref.bucket, "documents/a"), b"3", content_type="a/b")
    client.delete(ref)
    marker, second, first = client.versions(ref.bucket, "documents/a b/")
    assert (marker.is_marker, marker.is_latest, marker.size, marker.key) == (True, True, 0, ref.key)
    assert [(each.version, each.etag, each.size) for each in (first, second)] == [
        (each.version, each.etag, each.size) for each in made
    ]
    assert not (first.is_latest or second.is_latest or first.is_marker)
    old = ObjectRef(ref.bucket, ref.key, first.version)
    assert client.get(old).read() == b"1"
    assert client.head(old).version == first.version
    back = client.copy(old, ref, source_etag=first.etag, size=1)
    assert client.get(ref).read() == b"1"
    assert back.version not in {first.version, second.version}
    assert len(list(client.versions(ref.bucket, ref.key))) == 4


def test_a_copy_keeps_type_metadata_and_tags(client, ref, root):
    target = ObjectRef(ref.bucket, "copies/ü")
    put = client.put(ref, b"abc", content_type="a/b", headers={"x-amz-meta-who": "me", "x-amz-tagging": "x=y"})
    copied = client.copy(ref, target, source_etag=put.etag, size=3)
    head = client.head(target)
    assert (copied.etag, copied.size) == (head.etag, 3)
    assert (head.content_type, head.headers["x-amz-meta-who"]) == ("a/b", "me")
    assert root.get_object_tagging(Bucket=target.bucket, Key=target.key)["TagSet"] == [{"Key": "x", "Value": "y"}]
    with pytest.raises(PreconditionFailed):
        client.copy(ref, target, source_etag=put.etag, size=3)


@pytest.mark.not_on_ceph("Ceph ignores the condition on a copy's source")
def test_a_source_that_changed_is_not_copied(client, ref):
    client.put(ref, b"abc", content_type="a/b")
    with pytest.raises(PreconditionFailed):
        client.copy(ref, ObjectRef(ref.bucket, "t"), source_etag="0" * 32, size=3)
    assert client.head(ObjectRef(ref.bucket, "t")) is None


def test_a_large_copy_is_made_in_parts(storage_settings, bucket, root):
    settings = storage_settings.model_copy(update={"multipart_threshold_bytes": PART, "multipart_part_bytes": PART})
    client = ObjectClient(Session(settings))
    source, target = ObjectRef(bucket, "large"), ObjectRef(bucket, "t")
    body = secrets.token_bytes(PART + 1)
    put = client.put(source, body, content_type="a/b", headers={"x-amz-meta-who": "me"})
    copied = client.copy(source, target, source_etag=put.etag, size=len(body))
    assert copied.etag.endswith("-2")
    assert copied.headers["x-amz-meta-who"] == "me"
    assert client.get(target).read() == body
    with pytest.raises(PreconditionFailed):
        client.copy(source, target, source_etag=put.etag, size=len(body))
    with pytest.raises(NoSuchObject):
        client.copy(ObjectRef(bucket, "none"), ObjectRef(bucket, "u"), source_etag=put.etag, size=len(body))


def test_threads_share_a_client(client, bucket):
    def work(number):
        ref = ObjectRef(bucket, f"thread/{number}")
        body = secrets.token_bytes(1000 + number)
        client.put(ref, body, content_type="a/b")
        return client.get(ref).read() == body and client.head(ref).size == len(body)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(160)))


def test_a_child_opens_its_own_connections(client, ref):
    body = secrets.token_bytes(8 * MIB)
    client.put(ref, body, content_type="a/b")
    with client.get(ref) as download:
        begun = download.read(1000)
        assert in_child(lambda: client.get(ref, start=5, end=10).read() == body[5:10]) == 0
        assert in_child(lambda: begun + download.read() == body) == 0
        assert begun + download.read() == body
    assert client.head(ref).size == len(body)


def test_a_child_is_not_held_up_by_a_lock_of_its_parent(client, ref, storage_settings):
    client.put(ref, b"abc", content_type="a/b")
    identity = client._access().identity
    with identity._fetching:
        assert in_child(lambda: client._access().identity.renew() and client.get(ref).read() == b"abc") == 0


def test_every_request_names_the_buckets_owner(storage_settings, relay, bucket):
    session = Session(storage_settings.model_copy(update={"endpoint_url": relay.url}))
    client = ObjectClient(session, owner="000000000000")
    ref, target = ObjectRef(bucket, "a"), ObjectRef(bucket, "b")
    missing = Reply(404, error("NoSuchKey"))
    relay.before = lambda request: missing if request.method == "GET" and "list-type" not in request.query else None
    put = client.put(ref, b"abc", content_type="a/b")
    client.head(ref)
    client.copy(ref, target, source_etag=put.etag, size=3)
    upload = client.create_multipart(ref, content_type="a/b")
    client.upload_part(ref, upload, 1, b"abc")
    client.abort_multipart(ref, upload)
    client.delete(ref)
    for call in (
        lambda: client.get(ref),
        lambda: list(client.versions(bucket, "")),
        lambda: client.list_parts(ref, "u"),
    ):
        with pytest.raises(NoSuchObject):
            call()
    assert {seen.headers.get("x-amz-expected-bucket-owner") for seen in relay.seen} == {"000000000000"}
    (copy,) = [seen for seen in relay.seen if seen.copies]
    assert copy.headers["x-amz-source-expected-bucket-owner"] == "000000000000"


STORED = {"ETag": '"0123abcd"', "Content-Type": "a/b", "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT"}


def test_the_proxy_of_the_environment_is_used(storage_settings, monkeypatch):
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with script(Scripted(body=b"abc", headers=STORED)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        client = ObjectClient(Session(Settings(endpoint_url="http://s3.internal.example:9000")))
        assert client.get(ObjectRef("home", "a/../b c")).read() == b"abc"
        client.put(ObjectRef("home", "a"), b"abc", content_type="a/b")
    assert [seen.path for seen in proxy.seen] == [
        f"http://s3.internal.example:9000/home/{key}" for key in ("a/../b%20c", "a")
    ]
    assert proxy.seen[1].body == b"abc"
    monkeypatch.setenv("HTTP_PROXY", "http://me:not-to-be-shown@127.0.0.1:9")
    client = ObjectClient(Session(Settings(endpoint_url="http://s3.internal.example:9000")), random=lambda: 0.001)
    with pytest.raises(StorageRefused) as refusal:
        client.head(ObjectRef("home", "a"))
    assert "127.0.0.1:9" in refusal.value.message
    assert "not-to-be-shown" not in refusal.value.message + refusal.value.hint


@pytest.fixture
def secure(certificate):
    with script(Scripted(body=b"abc", headers=STORED)) as stub:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        stub.server.socket = context.wrap_socket(stub.server.socket, server_side=True, do_handshake_on_connect=False)
        stub.url = stub.url.replace("http://", "https://")
        yield stub


def test_over_tls_the_body_is_not_hashed(secure, certificate, storage_settings, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    client = ObjectClient(Session(Settings(endpoint_url=secure.url)))
    ref = ObjectRef("home", "a")
    client.put(ref, b"123456789", content_type="a/b")
    assert client.get(ref).read() == b"abc"
    put, get = secure.seen
    assert put.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
    assert put.headers["x-amz-checksum-crc32"] == "y/Q5Jg=="
    assert put.headers["content-length"] == "9"
    assert put.body == b"123456789"
    assert not {"expect", "transfer-encoding", "accept"} & put.headers.keys()
    assert put.port == get.port, "the connection is used again"


def test_an_untrusted_endpoint_gets_no_request(secure, storage_settings, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with pytest.raises(StorageRefused) as refusal:
        ObjectClient(Session(Settings(endpoint_url=secure.url))).head(ObjectRef("home", "a"))
    assert refusal.value.code == "CertificateError"
    assert secure.seen == []
