"""Copies against the real server: every key arrives, and what fails is told as what it is."""

import os
import pickle

import pytest
from tests.support.children import in_child
from tests.support.s3_keys import KEYS
from tests.support.s3_stub import Scripted, script

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session


def test_every_key_is_copied_and_listed_as_it_is(plane, root, bucket, target, put):
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


def test_a_changed_or_missing_source_is_its_objects_fault(plane, root, bucket, target, put):
    good, changed, gone = put("good", target), put("changed", target), put("gone", target)
    root.put_object(Bucket=bucket, Key="changed", Body=b"something else")
    root.delete_object(Bucket=bucket, Key="gone")
    found = {outcome.task.document_id: outcome for outcome in plane.copy([good, changed, gone])}
    assert found["good"].fault is None
    assert found["changed"].fault.code == "PreconditionFailed"
    assert found["gone"].fault.code == "NoSuchKey"
    assert {found.key for page in plane.list(target) for found in page} == {"t/good"}


def test_a_task_that_cannot_be_sent_is_a_fault(plane, target, put):
    good = put("good", target)
    bad = [
        CopyTask("1", good.source, good.source_etag, 1, "STANDARD", ObjectRef(target, "")),
        CopyTask("2", good.source, good.source_etag, 1, "STANDARD", ObjectRef("a/b", "k")),
        CopyTask("3", good.source, "x\r\nx-amz-acl: public-read", 1, "STANDARD", ObjectRef(target, "k")),
        CopyTask("4", ObjectRef("x/../y", "k"), good.source_etag, 1, "STANDARD", ObjectRef(target, "k")),
        CopyTask("5", ObjectRef(target, "\ud800"), good.source_etag, 1, "STANDARD", ObjectRef(target, "k")),
        CopyTask("6", good.source, "é", 1, "STANDARD", ObjectRef(target, "k")),
        CopyTask("7", good.source, good.source_etag, 1, "STÄNDIG", ObjectRef(target, "k")),
        CopyTask("8", good.source, good.source_etag, 1, "STANDARD", ObjectRef(target, "k"), replaces_etag="é"),
    ]
    outcomes = list(plane.copy([*bad, good]))
    assert {o.task.document_id: o.fault.code for o in outcomes if o.fault} == dict.fromkeys(
        "12345678", "InvalidRequest"
    )
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
def test_wrong_keys_stop_the_run_and_nothing_seems_missing(
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


def test_a_child_process_has_connections_of_its_own(stub_plane, task):
    with script(Scripted()) as stub:
        plane = stub_plane(stub.url, in_flight=1)
        with pytest.raises(TypeError, match="process"):
            pickle.dumps(plane)
        assert len(list(plane.copy([task(1)]))) == 1
        assert in_child(lambda: [outcome.fault for outcome in plane.copy([task(2)])] == [None]) == 0
        assert len(list(plane.copy([task(3)]))) == 1
        ports = {seen.path.rpartition("/")[2]: seen.port for seen in stub.seen}
    assert ports["1"] == ports["3"] != ports["2"]


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
