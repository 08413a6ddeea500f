"""The strict relay itself: what it refuses and lets through is what S3 does, asked by a plain client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.support.strict_relay import OWNER, SOMEBODY_ELSE, StrictRelay
from tests.support.whole_checksums import WholeChecksums, crc64nvme

BODY = b"0123456789"


@pytest.fixture
def relay(s3_server, bucket) -> Iterator[StrictRelay]:
    with StrictRelay(s3_server) as relay:
        WholeChecksums(relay)
        relay.root.put_object(Bucket=bucket, Key="source", Body=BODY)
        yield relay


@pytest.fixture
def client(relay, storage_settings) -> Any:
    return boto3.session.Session().client("s3", endpoint_url=relay.url, region_name=storage_settings.region)


def code(call, **arguments) -> tuple[int, str] | None:
    """Return how the call was refused, None if it was not."""
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
    return None


@pytest.mark.parametrize("call", ["copy_object", "put_object"])
def test_conditions_on_the_target(relay, client, bucket, call):
    more = {"CopySource": {"Bucket": bucket, "Key": "source"}} if call == "copy_object" else {"Body": BODY}
    there = relay.root.put_object(Bucket=bucket, Key="there", Body=b"there")["ETag"]
    write = {"call": getattr(client, call), "Bucket": bucket, **more}
    assert code(**write, Key="there", IfNoneMatch="*") == (412, "PreconditionFailed")
    assert code(**write, Key="there", IfMatch='"other"') == (412, "PreconditionFailed")
    assert code(**write, Key="absent", IfMatch=there) == (404, "NoSuchKey")
    assert relay.etag(bucket, "there") == there
    assert code(**write, Key="there", IfMatch=there) is None
    assert code(**write, Key="absent", IfNoneMatch="*") is None
    assert relay.etag(bucket, "there") == relay.etag(bucket, "absent") == relay.etag(bucket, "source")


def test_a_condition_on_the_source(client, bucket):
    copy = {"Bucket": bucket, "Key": "t", "CopySource": {"Bucket": bucket, "Key": "source"}}
    assert code(client.copy_object, **copy, CopySourceIfMatch='"other"') == (412, "PreconditionFailed")


def test_owners(relay, client, bucket):
    copy = {"Bucket": bucket, "Key": "t", "CopySource": {"Bucket": bucket, "Key": "source"}}
    ours, theirs = relay.account, SOMEBODY_ELSE
    assert code(client.list_objects_v2, Bucket=bucket, ExpectedBucketOwner=theirs) == (403, "AccessDenied")
    mixed = {"ExpectedBucketOwner": ours, "ExpectedSourceBucketOwner": theirs}
    assert code(client.copy_object, **copy, **mixed) == (403, "AccessDenied")
    assert relay.unowned == []
    assert code(client.get_object, Bucket=bucket, Key="source") is None
    assert relay.unowned == [f"GET object /{bucket}/source: no {OWNER}"]
    relay.elsewhere.add(bucket)
    assert code(client.head_bucket, Bucket=bucket, ExpectedBucketOwner=ours) == (403, "403")
    assert code(client.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")
    assert bucket not in [each["Name"] for each in client.list_buckets()["Buckets"]]


def test_a_trailing_checksum_counts_only_if_it_was_announced(client, bucket):
    def end(value: str, **algorithm: Any) -> Any:
        target: dict[str, Any] = {"Bucket": bucket, "Key": "t"}
        target["UploadId"] = client.create_multipart_upload(**target, **algorithm)["UploadId"]
        source = {"CopySource": {"Bucket": bucket, "Key": "source"}, "CopySourceRange": "bytes=0-9"}
        etag = client.upload_part_copy(**target, **source, PartNumber=1)["CopyPartResult"]["ETag"]
        parts = {"Parts": [{"ETag": etag, "PartNumber": 1}]}
        checksum = {"ChecksumCRC64NVME": value, "ChecksumType": "FULL_OBJECT"}
        return client.complete_multipart_upload(**target, **checksum, MultipartUpload=parts)

    named = {"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "FULL_OBJECT"}
    right, wrong = crc64nvme(BODY), crc64nvme(b"other")
    assert code(end, value=wrong, **named) == (400, "BadDigest")
    assert end(right, **named)["ChecksumCRC64NVME"] == right
    assert code(end, value=wrong) is None
    head = client.head_object(Bucket=bucket, Key="source", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == (right, "FULL_OBJECT")
    assert "ChecksumCRC64NVME" not in client.head_object(Bucket=bucket, Key="source")
