"""List the versions and uploads of a versioned bucket, delete them, and delete the bucket.

The callers decide which versions to delete. These functions delete exactly the given versions, each by its version id. A
version that no longer exists counts as deleted, so every function can be run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.errors import StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.delete_objects import DELETE_OBJECTS
from rehouse.s3.faults import (
    ABSENT,
    NO_SUCH_BUCKET,
    NOT_OFFERED,
    Verdict,
    refused_error,
    translate_error,
    unavailable_error,
    verdict,
)

DELETED_PER_REQUEST = 1000
"""The most keys per DeleteObjects request (S3 API Reference, DeleteObjects)."""


class Version(NamedTuple):
    """A version of an object, or a delete marker (`etag` is None).

    `size` in bytes; `is_current`: it is the latest.
    """

    key: str
    version_id: str
    etag: str | None
    size: int
    is_current: bool


class Upload(NamedTuple):
    """An open multipart upload; `begun_at` is None if the listing did not say it."""

    key: str
    upload_id: str
    begun_at: datetime | None = None


def versions(control: Control, bucket: str) -> Iterator[Version]:
    """Yield every version and delete marker of the bucket.

    The two kinds are not sorted together. Raises StorageRefused or StorageUnavailable.
    """
    pages = control.client.get_paginator("list_object_versions").paginate(Bucket=bucket, **control.owner())
    for page in _translate_page_errors(pages, bucket):
        for found in page.get("Versions", []):
            if "ETag" not in found:
                message = f"the listing shows no ETag of a version of {found['Key']!r}"
                raise refused_error("MalformedListing", message, f"listing the versions of {bucket}")
            etag = str(found["ETag"]).strip('"')
            yield Version(found["Key"], found["VersionId"], etag, int(found["Size"]), bool(found["IsLatest"]))
        for marker in page.get("DeleteMarkers", []):
            yield Version(marker["Key"], marker["VersionId"], None, 0, bool(marker["IsLatest"]))


def uploads(control: Control, bucket: str) -> Iterator[Upload]:
    """Yield every open multipart upload. Raises StorageRefused or StorageUnavailable."""
    pages = control.client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, EncodingType="url", **control.owner()
    )
    for page in _translate_page_errors(pages, bucket):
        is_encoded = page.get("EncodingType") == "url"
        for upload in page.get("Uploads", []):
            key = unquote_plus(upload["Key"]) if is_encoded else upload["Key"]
            yield Upload(key, upload["UploadId"], upload.get("Initiated"))


def delete_versions(control: Control, bucket: str, doomed: Iterable[Version]) -> int:
    """Delete these versions permanently, 1,000 per request; return how many.

    Raises StorageRefused or StorageUnavailable at the first version that S3 does not delete.
    """
    count = 0
    waiting = iter(doomed)
    while batch := list(islice(waiting, DELETED_PER_REQUEST)):
        together = [version for version in batch if _is_in_xml(version.key)]
        are_gone = bool(together) and _delete_together(control, bucket, together)
        for version in batch:
            if not (are_gone and _is_in_xml(version.key)):
                _ask(control, "delete_object", bucket, Key=version.key, VersionId=version.version_id)
        count += len(batch)
    return count


def abort_uploads(control: Control, bucket: str, doomed: Iterable[Upload]) -> int:
    """Abort these uploads; return how many. Raises StorageRefused or StorageUnavailable."""
    count = 0
    for upload in doomed:
        _ask(control, "abort_multipart_upload", bucket, Key=upload.key, UploadId=upload.upload_id)
        count += 1
    return count


def delete_bucket(control: Control, bucket: str) -> None:
    """Delete the empty bucket; a bucket that no longer exists is not an error.

    Raises StorageRefused (BucketNotEmpty and others), and StorageUnavailable if S3 does not confirm the deletion with a 204.
    """
    control.new_buckets.forget(bucket)
    try:
        status = control.client.delete_bucket(Bucket=bucket, **control.owner())["ResponseMetadata"]["HTTPStatusCode"]
        if status != HTTPStatus.NO_CONTENT:
            raise unavailable_error("InternalError", f"a removal was answered with {status}", f"the bucket {bucket}")
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code == "BucketNotEmpty":  # a 409, which would otherwise be retried
            raise refused_error(code, "something was written into it meanwhile", f"the bucket {bucket}") from None
        if code not in {NO_SUCH_BUCKET, "404"}:
            raise translate_error(error, f"the bucket {bucket}") from None
    except BotoCoreError as error:
        raise translate_error(error, f"the bucket {bucket}") from None


def _delete_together(control: Control, bucket: str, batch: Sequence[Version]) -> bool:
    """Delete these versions in one request.

    Return False if the endpoint does not offer DeleteObjects.
    """
    if DELETE_OBJECTS in control.not_offered:
        return False
    objects = [{"Key": version.key, "VersionId": version.version_id} for version in batch]
    try:
        reply = _ask(control, "delete_objects", bucket, Delete={"Objects": objects, "Quiet": True})
    except StorageRefused as error:
        if error.code not in NOT_OFFERED:
            raise
        control.not_offered.add(DELETE_OBJECTS)
        return False
    for failed in reply.get("Errors", []):
        code = str(failed.get("Code") or "Unknown")
        if code not in ABSENT:
            raise_for = unavailable_error if verdict(code) is Verdict.RETRY else refused_error
            subject = f"deleting s3://{bucket}/{failed.get('Key', '')}"
            raise raise_for(code, str(failed.get("Message") or code), subject)
    return True


def _ask(control: Control, operation: str, bucket: str, **arguments: Any) -> Any:
    subject = f"s3://{bucket}/{arguments.get('Key', '')}"
    try:
        return getattr(control.client, operation)(Bucket=bucket, **arguments, **control.owner())
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in ABSENT:
            return {}
        raise translate_error(error, subject) from None
    except BotoCoreError as error:
        raise translate_error(error, subject) from None


def _translate_page_errors(pages: Iterable[Any], bucket: str) -> Iterator[Any]:
    try:
        yield from pages
    except (ClientError, BotoCoreError) as error:
        raise translate_error(error, f"listing the versions of {bucket}") from None


def _is_in_xml(key: str) -> bool:
    """Return whether XML 1.0 can carry the key.

    A key with most control characters needs its own request.
    """
    return all(
        character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
        for character in key
    )
