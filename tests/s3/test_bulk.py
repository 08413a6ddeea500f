"""Copies, HEADs and listings against the real server: every key arrives, and nothing that failed looks empty or missing."""

import itertools
import os
import pickle

import pytest
from tests.s3.stub import Scripted, error, script

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session

KEYS = [
    "plain.pdf", "two  spaces", " leading and trailing ", "a+b", "100%", "%2B", "100%25", "q?versionId=abc", "a#b", "a&b=c",
    "dir//double", "/leading", "trailing/", "tail.", "a/./b", "a/b/../../c", "..a", "ünï/é", "e\u0301", "\u202ertl", "😀", "日本",
    "cr\rlf\nx", "ctl\x01\x1f", "tab\t", "del\x7f", "~tilde", "back\\slash", "'\"<>&amp;", "x" * 1000,
]  # fmt: skip
_buckets = itertools.count(1)


@pytest.fixture(scope="module")
def root(s3_server):
    """A client with the account's own rights, to prepare with."""
    return s3_server.root()


@pytest.fixture
def target(root):
    """The name of a second fresh bucket, versioned as tenants' are."""
    name = f"target-{next(_buckets)}"
    root.create_bucket(Bucket=name)
    root.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def put(root, bucket):
    """Return a function that puts an object and tells the task that copies it to `target`."""

    def make(key, target, body=None, to=None, **more):
        body = key.encode() if body is None else body
        reply = root.put_object(Bucket=bucket, Key=key, Body=body, **more)
        etag = reply["ETag"].strip('"')
        return CopyTask(key, ObjectRef(bucket, key), etag, len(body), "STANDARD", ObjectRef(target, to or f"t/{key}"))

    return make


def test_every_key_is_copied_where_it_belongs_and_listed_as_it_is(plane, root, bucket, target, put):
    tasks = [put(key, target) for key in KEYS]
    outcomes = {outcome.task.document_id: outcome for outcome in plane.copy(tasks)}
    assert [key for key in KEYS if outcomes[key].fault] == []
    for key in KEYS:
        found = root.get_object(Bucket=target, Key=f"t/{key}")
        assert found["Body"].read() == key.encode()
        assert (outcomes[key].etag, outcomes[key].version) == (found["ETag"].strip('"'), found["VersionId"])
    listed = [found for page in plane.list(target) for found in page]
    assert [found.key for found in listed] == sorted((f"t/{key}" for key in KEYS), key=str.encode)
    assert [found.key for page in plane.list(bucket) for found in page] == sorted(KEYS, key=str.encode)
    assert plane.requests == {"copy": len(KEYS), "list": 2}


def test_headers_metadata_and_tags_go_along(plane, root, target, put):
    content = {
        "ContentType": "application/pdf",
        "CacheControl": "private, max-age=1",
        "ContentDisposition": "attachment; filename*=UTF-8''%C3%BC.pdf",
        "ContentEncoding": "identity",
        "ContentLanguage": "de",
        "Metadata": {"owner": "ada  l", "n": "1"},
    }
    task = put("k", target, Tagging="a=1&b=x%20y", **content)
    (outcome,) = plane.copy([task])
    assert outcome.fault is None
    found = root.head_object(Bucket=target, Key="t/k")
    assert {name: found[name] for name in content} == content
    tags = root.get_object_tagging(Bucket=target, Key="t/k")["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "1"), ("b", "x y")]


def test_one_version_is_copied_where_one_is_meant(plane, root, target, put):
    first = root.put_object(Bucket=target, Key="v", Body=b"old")
    root.put_object(Bucket=target, Key="v", Body=b"new!")
    source = ObjectRef(target, "v", first["VersionId"])
    (outcome,) = plane.copy([CopyTask("1", source, first["ETag"].strip('"'), 3, "STANDARD", ObjectRef(target, "w"))])
    assert outcome.fault is None
    assert root.get_object(Bucket=target, Key="w")["Body"].read() == b"old"
    (head,) = plane.head([source])
    assert head.version == first["VersionId"]
    assert head.object.size == 3


def test_the_storage_class_of_the_source_is_asked_for(plane, root, target, put):
    task = put("k", target, StorageClass="STANDARD_IA")
    (outcome,) = plane.copy([CopyTask("1", task.source, task.source_etag, 1, "STANDARD_IA", task.target)])
    assert outcome.fault is None
    (head,) = plane.head([task.target])
    assert head.object.storage_class == "STANDARD_IA"


def test_a_source_that_changed_or_went_is_a_fault_of_that_object(plane, root, bucket, target, put):
    good, changed, gone = put("good", target), put("changed", target), put("gone", target)
    root.put_object(Bucket=bucket, Key="changed", Body=b"something else")
    root.delete_object(Bucket=bucket, Key="gone")
    found = {outcome.task.document_id: outcome for outcome in plane.copy([good, changed, gone])}
    assert found["good"].fault is None
    assert found["changed"].fault.code == "PreconditionFailed"
    assert found["gone"].fault.code == "NoSuchKey"
    assert {found.key for page in plane.list(target) for found in page} == {"t/good"}


def test_a_task_that_cannot_be_sent_is_a_fault_and_touches_nothing(plane, target, put):
    good = put("good", target)
    bad = [
        CopyTask("1", good.source, good.source_etag, 1, "STANDARD", ObjectRef(target, "")),
        CopyTask("2", good.source, good.source_etag, 1, "STANDARD", ObjectRef("a/b", "k")),
        CopyTask("3", good.source, "x\r\nx-amz-acl: public-read", 1, "STANDARD", ObjectRef(target, "k")),
        CopyTask("4", ObjectRef("x/../y", "k"), good.source_etag, 1, "STANDARD", ObjectRef(target, "k")),
        CopyTask("5", ObjectRef(target, "\ud800"), good.source_etag, 1, "STANDARD", ObjectRef(target, "k")),
    ]
    outcomes = list(plane.copy([*bad, good]))
    assert {o.task.document_id: o.fault.code for o in outcomes if o.fault} == dict.fromkeys("12345", "InvalidRequest")
    assert plane.requests == {"copy": 1}


def test_a_missing_bucket_stops_the_run_whichever_way_it_is_met(plane, target, put):
    task = put("k", target)
    missing = ObjectRef("no-such-bucket-here", "k")
    runs = [
        lambda: list(plane.copy([CopyTask("1", missing, "aa", 1, "STANDARD", task.target)])),
        lambda: list(plane.copy([CopyTask("1", task.source, task.source_etag, 1, "STANDARD", missing)])),
        lambda: list(plane.head([missing])),
        lambda: list(plane.list("no-such-bucket-here")),
    ]
    for run in runs:
        with pytest.raises(StorageRefused) as refusal:
            run()
        assert refusal.value.code == "NoSuchBucket"
        assert "no-such-bucket-here" in refusal.value.message


@pytest.mark.parametrize(
    ("variable", "value", "code"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", "SignatureDoesNotMatch"),
        ("AWS_ACCESS_KEY_ID", "AKIAWRONG", "InvalidAccessKeyId"),
    ],
)
def test_wrong_keys_stop_the_run_and_never_look_like_missing_objects(
    storage_settings, bucket, target, put, monkeypatch, variable, value, code
):
    task = put("k", target)
    monkeypatch.setenv(variable, value)
    plane = BulkPlane(Session(storage_settings), max_in_flight=4, max_rate=None)
    for run in (
        lambda: list(plane.copy([task])),
        lambda: list(plane.head([task.source])),
        lambda: list(plane.list(bucket)),
    ):
        with pytest.raises(StorageRefused) as refusal:
            run()
        assert refusal.value.code == code
        assert "AWS_" in refusal.value.hint


def test_a_denied_object_is_data(storage_settings, s3_server, target, put, monkeypatch):
    access_key, secret_key = s3_server.user("nobody", {})
    task = put("k", target)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
    plane = BulkPlane(Session(storage_settings), max_in_flight=4, max_rate=None)
    (outcome,) = plane.copy([task])
    (head,) = plane.head([task.source])
    assert (outcome.fault.code, head.fault.code, head.object) == ("AccessDenied", "AccessDenied", None)
    with pytest.raises(StorageRefused) as refusal:
        list(plane.list(target))
    assert refusal.value.code == "AccessDenied"


def test_a_head_tells_what_a_listing_tells_and_what_is_missing(plane, bucket, target, put):
    tasks = [put(key, target) for key in KEYS]
    listed = {found.key: found for page in plane.list(bucket) for found in page}
    heads = {head.ref.key: head for head in plane.head([*(task.source for task in tasks), ObjectRef(bucket, "nope")])}
    assert (heads["nope"].object, heads["nope"].fault) == (None, None)
    for key in KEYS:
        found = heads[key].object
        assert (found.key, found.etag, found.size) == (key, listed[key].etag, listed[key].size)
        assert found.modified_at == listed[key].modified_at.replace(microsecond=0)
    assert plane.requests["head"] == len(KEYS) + 1


def test_checksums_are_told_where_asked_for(plane, bucket, target, put):
    task = put("k", target, ChecksumAlgorithm="CRC32")
    (head,) = plane.head([task.source], with_checksums=True)
    assert head.checksums["crc32"]


def test_a_listing_goes_over_pages_and_stops_where_told(plane, root, bucket):
    for number in range(0, 2100, 100):
        root.put_object(Bucket=bucket, Key=f"a/{number:04}", Body=b"")
    root.put_object(Bucket=bucket, Key="b/1", Body=b"")

    def keys(**which):
        return [found.key for page in plane.list(bucket, **which) for found in page]

    assert len(keys()) == 22
    assert keys(prefix="b/") == ["b/1"]
    assert keys(after="a/1900") == ["a/2000", "b/1"]
    assert keys(after="a/1700", through="a/1900") == ["a/1800", "a/1900"]
    assert keys(through="a/0050") == ["a/0000"]
    assert keys(prefix="nothing") == []


def test_more_than_a_page_is_listed_whole(plane, root, bucket, target, put):
    source = put("k", target)
    tasks = [
        CopyTask(str(n), source.source, source.source_etag, 1, "STANDARD", ObjectRef(target, f"{n:04}"))
        for n in range(1203)
    ]
    assert all(outcome.fault is None for outcome in plane.copy(tasks))
    pages = list(plane.list(target))
    assert [len(page) for page in pages] == [1000, 203]
    assert [found.key for page in pages for found in page] == [f"{n:04}" for n in range(1203)]
    assert sum(len(page) for page in plane.list(target, through="0999")) == 1000
    assert plane.requests["list"] == 3


@pytest.mark.parametrize(
    "reply",
    [
        Scripted(200, b""),
        Scripted(200, b"<ListBucketResult><IsTruncated>false</IsTrunc"),
        Scripted(200, b"<ListBucketResult></ListBucketResult>"),
        Scripted(200, b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"),
        Scripted(200, b"<Other><IsTruncated>false</IsTruncated></Other>"),
        Scripted(200, error("InternalError")),
        Scripted(503, error("SlowDown")),
        Scripted(reset=True),
    ],
)
def test_a_listing_that_is_not_whole_raises(stub_plane, reply):
    with script(reply) as stub, pytest.raises(StorageUnavailable):
        list(stub_plane(stub.url).list("shared"))


def test_a_listing_that_repeats_itself_or_strays_raises(stub_plane):
    entry = (
        "<Contents><Key>a</Key><ETag>x</ETag><Size>1</Size><LastModified>2026-11-01T00:00:00Z</LastModified></Contents>"
    )
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    page = f"<ListBucketResult>{entry}{more}</ListBucketResult>"
    with script(Scripted(200, page.encode())) as stub:
        with pytest.raises(StorageRefused):
            list(stub_plane(stub.url).list("shared"))
        with pytest.raises(StorageRefused):
            list(stub_plane(stub.url).list("shared", prefix="b"))


def test_conditions_and_owners_are_in_every_request(stub_plane, task):
    with script(Scripted()) as stub:
        plane = stub_plane(stub.url, owner="123456789012")
        first, second = (
            task(1),
            task(2, replaces_etag="bb", source=ObjectRef("shared", "ü ?+", "v/1"), storage_class="STANDARD_IA"),
        )
        assert [outcome.fault for outcome in plane.copy([first, second])] == [None, None]
        seen = {request.path: request.headers for request in stub.seen}
    fresh, again = seen["/home/documents/1"], seen["/home/documents/2"]
    assert (fresh["if-none-match"], fresh["x-amz-copy-source-if-match"]) == ("*", '"aa"')
    assert fresh["x-amz-copy-source"] == "/shared/in/1"
    assert "if-match" not in fresh
    assert "x-amz-storage-class" not in fresh
    assert (again["if-match"], again["x-amz-copy-source-if-match"]) == ('"bb"', '"aa"')
    assert again["x-amz-copy-source"] == "/shared/%C3%BC%20%3F%2B?versionId=v%2F1"
    assert "if-none-match" not in again
    assert again["x-amz-storage-class"] == "STANDARD_IA"
    for headers in (fresh, again):
        assert headers["x-amz-expected-bucket-owner"] == headers["x-amz-source-expected-bucket-owner"] == "123456789012"
        assert headers["content-length"] == "0"
        assert not {"expect", "accept", "content-type", "x-amz-metadata-directive"} & set(headers)


def test_dot_segments_and_slashes_reach_the_server_as_they_are(stub_plane, task):
    keys = ["../other/escaped", "a/./b", "a/../../b", "//x", "%2e%2e/y"]
    with script(Scripted()) as stub:
        list(stub_plane(stub.url).copy(task(n, target=ObjectRef("home", key)) for n, key in enumerate(keys)))
        assert {seen.path for seen in stub.seen} == {
            "/home/../other/escaped", "/home/a/./b", "/home/a/../../b", "/home///x", "/home/%252e%252e/y",
        }  # fmt: skip


def test_an_endpoint_without_the_targets_condition_is_noticed_and_copied_to_without(stub_plane, task):
    from tests.s3.stub import serving

    def answer(seen):
        return Scripted(501, error("NotImplemented")) if "if-none-match" in seen.headers else Scripted()

    with serving(answer) as stub:
        plane = stub_plane(stub.url, in_flight=1)
        assert plane.target_condition_offered is None
        assert [outcome.fault for outcome in plane.copy(task(n) for n in range(5))] == [None] * 5
        assert plane.target_condition_offered is False
        assert len(stub.seen) == 6


@pytest.mark.parametrize(
    ("reply", "offered"),
    [
        (Scripted(412, error("PreconditionFailed")), True),
        (Scripted(200), False),
        (Scripted(501, error("NotImplemented")), False),
        (Scripted(403, error("AccessDenied")), None),
    ],
)
def test_a_copy_sent_twice_tells_whether_the_target_is_guarded(stub_plane, task, reply, offered):
    with script(reply) as stub:
        plane = stub_plane(stub.url)
        assert plane.learn_target_condition(task(replaces_etag="bb")) is plane.target_condition_offered is offered
        assert stub.seen[0].headers["if-none-match"] == "*"
        assert plane.requests == {"probe": 1}


def test_a_plane_is_of_its_process(plane, bucket, target, put):
    list(plane.copy([put("k", target)]))
    with pytest.raises(TypeError, match="process"):
        pickle.dumps(plane)
    child = os.fork()
    if child == 0:
        pages = list(plane.list(bucket))
        os._exit(0 if [found.key for page in pages for found in page] == ["k"] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [found.key for page in plane.list(bucket) for found in page] == ["k"]


def test_several_generators_of_one_plane_run_at_once(plane, bucket, target, put):
    tasks = [put(f"k{number}", target) for number in range(20)]
    outcomes, heads = plane.copy(tasks), plane.head(task.source for task in tasks)
    pairs = list(zip(outcomes, heads, strict=True))
    assert all(outcome.fault is None and head.object for outcome, head in pairs)


def test_more_in_flight_than_select_can_watch(storage_settings: Settings, bucket, target, put):
    task = put("k", target)
    plane = BulkPlane(Session(storage_settings), max_in_flight=200, max_rate=None)
    held = [os.dup(0) for _ in range(1050)] if os.sysconf("SC_OPEN_MAX") > 1500 else []
    try:
        heads = list(plane.head(task.source for _ in range(600)))
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert len([head for head in heads if head.object]) == 600
