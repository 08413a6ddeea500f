"""Objects in parts: bytes, headers, metadata and tags arrive, and nothing is left behind where it fails."""

import os
from dataclasses import replace
from itertools import pairwise

import boto3
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st
from tests.support.http_relay import HttpRelay

from rehouse.core.errors import Interrupted, StorageRefused
from rehouse.core.model import CopyTask, ObjectRef
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.multipart import MOST_PARTS, copy_multipart, ranges
from rehouse.s3.session import Session

MIB = 1024**2
BODY = os.urandom(1 * MIB) * 11
CONTENT = {
    "ContentType": "application/pdf",
    "CacheControl": "private, max-age=1",
    "ContentDisposition": "attachment; filename*=UTF-8''%C3%BC.pdf",
    "ContentEncoding": "identity",
    "ContentLanguage": "de",
    "Metadata": {"owner": "ada", "n": "1"},
}


@given(st.integers(1, 10**14), st.integers(5 * MIB, 5 * 1024**3))
def test_parts_are_never_too_many(size, part_bytes):
    step = max(part_bytes, -(-size // MOST_PARTS))
    assert -(-size // step) <= MOST_PARTS
    if size // step < 1000:
        parts = ranges(size, part_bytes)
        assert parts[0][0] == 0
        assert parts[-1][1] == size - 1
        assert all(after[0] == before[1] + 1 for before, after in pairwise(parts))


def test_fifty_terabytes_fit_into_ten_thousand_parts():
    assert len(ranges(50 * 10**12, 512 * MIB)) <= MOST_PARTS


@pytest.fixture(scope="module")
def root(s3_server):
    return s3_server.root()


@pytest.fixture
def client(storage_settings):
    return Session(storage_settings).client("s3")


@pytest.fixture
def large(root, bucket):
    """The task of a large object with everything that an object can carry."""
    reply = root.put_object(Bucket=bucket, Key="big ü+%.pdf", Body=BODY, Tagging="a=1&b=x%20%26%20y", **CONTENT)
    source = ObjectRef(bucket, "big ü+%.pdf")
    return CopyTask("1", source, reply["ETag"].strip('"'), len(BODY), "STANDARD", ObjectRef(bucket, "t/big ü+%.pdf"))


def uploads(root, bucket):
    return root.list_multipart_uploads(Bucket=bucket).get("Uploads", [])


def test_bytes_headers_metadata_and_tags_arrive(client, plane, root, bucket, large):
    outcome = copy_multipart(client, plane, large, part_bytes=5 * MIB, owner=None)
    assert outcome.fault is None
    assert outcome.etag.endswith("-3")
    found = root.get_object(Bucket=bucket, Key=large.target.key)
    assert found["Body"].read() == BODY
    assert found["ETag"].strip('"') == outcome.etag
    assert {name: found[name] for name in CONTENT} == CONTENT
    tags = root.get_object_tagging(Bucket=bucket, Key=large.target.key)["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "1"), ("b", "x & y")]
    assert uploads(root, bucket) == []


def test_the_storage_class_is_asked_for(client, plane, root, bucket, large):
    assert (
        copy_multipart(client, plane, replace(large, storage_class="STANDARD_IA"), part_bytes=6 * MIB, owner=None).fault
        is None
    )
    assert root.head_object(Bucket=bucket, Key=large.target.key)["StorageClass"] == "STANDARD_IA"


def test_an_object_that_is_there_is_never_covered(client, plane, root, bucket, large):
    root.put_object(Bucket=bucket, Key=large.target.key, Body=b"newer")
    outcome = copy_multipart(client, plane, large, part_bytes=5 * MIB, owner=None)
    assert outcome.fault.code == "PreconditionFailed"
    assert root.get_object(Bucket=bucket, Key=large.target.key)["Body"].read() == b"newer"
    assert uploads(root, bucket) == []


def test_a_copy_again_replaces_only_what_it_was_told(client, plane, root, bucket, large):
    etag = root.put_object(Bucket=bucket, Key=large.target.key, Body=b"ours")["ETag"].strip('"')
    assert copy_multipart(client, plane, replace(large, replaces_etag="other"), part_bytes=5 * MIB, owner=None).fault
    assert (
        copy_multipart(client, plane, replace(large, replaces_etag=etag), part_bytes=5 * MIB, owner=None).fault is None
    )


@pytest.mark.parametrize(("change", "code"), [("overwritten", "PreconditionFailed"), ("deleted", "NoSuchKey")])
def test_a_source_that_changed_or_went_is_a_fault(client, plane, root, bucket, large, change, code):
    if change == "overwritten":
        root.put_object(Bucket=bucket, Key=large.source.key, Body=b"x")
    else:
        root.delete_object(Bucket=bucket, Key=large.source.key)
    outcome = copy_multipart(client, plane, large, part_bytes=5 * MIB, owner=None)
    assert outcome.fault.code == code
    assert uploads(root, bucket) == []


def test_a_source_that_changes_midway_leaves_nothing(client, plane, root, bucket, large):
    def overwrite_once() -> bool:
        root.put_object(Bucket=bucket, Key=large.source.key, Body=BODY[::-1])
        return False

    outcome = copy_multipart(client, plane, large, part_bytes=5 * MIB, owner=None, interrupted=overwrite_once)
    assert outcome.fault.code == "PreconditionFailed"
    assert uploads(root, bucket) == []


def test_an_interruption_leaves_nothing_behind(client, plane, root, bucket, large):
    with pytest.raises(Interrupted):
        copy_multipart(client, plane, large, part_bytes=5 * MIB, owner=None, interrupted=lambda: True)
    assert uploads(root, bucket) == []


def test_a_missing_bucket_stops_the_run(client, plane, large):
    with pytest.raises(StorageRefused) as refusal:
        copy_multipart(
            client, plane, replace(large, target=ObjectRef("no-such-bucket-here", "k")), part_bytes=5 * MIB, owner=None
        )
    assert refusal.value.code == "NoSuchBucket"


def test_an_endpoint_that_is_not_there_stops_the_run(plane, large):
    away = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(StorageRefused) as refusal:
        copy_multipart(away, plane, large, part_bytes=5 * MIB, owner=None)
    assert refusal.value.code == "Unreachable"


def test_s3_is_made_to_prove_the_copy_where_it_can(storage_settings, s3_server, large):
    def proving(request, reply):
        told = (("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="), ("x-amz-checksum-type", "FULL_OBJECT"))
        return replace(reply, headers=reply.headers + told) if request.operation == "HEAD object" else reply

    with HttpRelay(s3_server.port) as relay:
        relay.after = proving
        session = Session(storage_settings.model_copy(update={"endpoint_url": relay.url}))
        plane = BulkPlane(session, max_in_flight=4, max_rate=None, owner="000000000000")
        copy_multipart(session.client("s3"), plane, large, part_bytes=5 * MIB, owner="000000000000")
        plane.close()
    ends = [each.headers for each in relay.seen if each.operation == "POST upload"]
    (created, completed), part = ends[:2], next(e.headers for e in relay.seen if e.operation == "UploadPartCopy")
    assert (created["x-amz-checksum-algorithm"], created["x-amz-checksum-type"]) == ("CRC64NVME", "FULL_OBJECT")
    assert created["x-amz-tagging"] == "a=1&b=x%20%26%20y"
    assert created["x-amz-expected-bucket-owner"] == "000000000000"
    assert part["x-amz-copy-source-if-match"] == f'"{large.source_etag}"'
    assert part["x-amz-expected-bucket-owner"] == part["x-amz-source-expected-bucket-owner"] == "000000000000"
    assert completed["x-amz-checksum-crc64nvme"] == "AAAAAAAAAAA="
    assert completed["x-amz-checksum-type"] == "FULL_OBJECT"
    assert (completed["x-amz-mp-object-size"], completed["if-none-match"]) == (str(len(BODY)), "*")
