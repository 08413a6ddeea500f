"""Single objects through boto3, for commands that look at a few of them. The bulk plane looks at many."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from rehouse.core.model import ListedObject, ObjectRef
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import ABSENT, translate_errors


def list_at_most(control: Control, bucket: str, most: int) -> list[ListedObject] | None:
    """Return the objects; None if there are more than `most` (1,000 at most). Raises StorageRefused or StorageUnavailable."""
    with translate_errors(bucket):
        page = control.client.list_objects_v2(Bucket=bucket, MaxKeys=most, **control.owner())
    if page.get("IsTruncated"):
        return None
    return [_object_of(each["Key"], each["Size"], each) for each in page.get("Contents", [])]


def find_object(control: Control, ref: ObjectRef) -> ListedObject | None:
    """Return the object, None if there is none. Raises StorageRefused or StorageUnavailable."""
    with translate_errors(ref.bucket):
        try:
            reply = control.client.head_object(Bucket=ref.bucket, Key=ref.key, **control.owner())
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT:
                return None
            raise
    return _object_of(ref.key, reply["ContentLength"], reply)


def _object_of(key: str, size: int, said: Any) -> ListedObject:
    return ListedObject(key, said["ETag"].strip('"'), size, said.get("StorageClass", "STANDARD"), said["LastModified"])
