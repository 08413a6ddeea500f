"""Copy an object that is too large for CopyObject on the server's side, by UploadPartCopy with the source's ETag.

A multipart copy loses what CopyObject keeps, so rehouse reads the headers, metadata and tags and sends them again. Headers go
through the bulk plane, which does not change their bytes (boto3 decodes them). If the source has a CRC64NVME of the whole
object, S3 itself verifies the copy with it. If anything fails, the upload is aborted.
Sources: "Copying an object using multipart upload" and "Checking object integrity", the S3 User Guide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.archiving import class_of_copy
from rehouse.core.copies import is_md5
from rehouse.core.errors import Interrupted, StorageRefused
from rehouse.core.model import CopyOutcome, CopyTask, Fault
from rehouse.core.refusals import name_refusing_place
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.sender import Answer
from rehouse.s3.faults import NOT_OFFERED, Verdict, show_on_one_line, translate_error, verdict
from rehouse.s3.object_headers import carried_headers, hidden_metadata, tagging_header

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import TagTypeDef

T = TypeVar("T")

MOST_PARTS = 10_000
PARTS_AT_ONCE = 4
ATTEMPTS = 3
"""Attempts at the whole upload: after a conflict at its end (409) it must start again."""
CHECKSUM = "ChecksumCRC64NVME"
TAGS_UNREADABLE = Fault(
    "TagsUnreadable", "S3 gave an empty answer to the request for the object's tags: a copy could lose them"
)


def ranges(size: int, part_bytes: int) -> list[tuple[int, int]]:
    """Return the first and last byte of each part.

    Parts grow if there would be more than S3 accepts.

    >>> ranges(11, 5)
    [(0, 4), (5, 9), (10, 10)]
    """
    step = max(part_bytes, -(-size // MOST_PARTS))
    return [(first, min(first + step, size) - 1) for first in range(0, size, step)]


def etag_of_parts(etags: Sequence[str]) -> str:
    """Return the ETag of an object made of these parts: the MD5 of their MD5s, and their number.

    It is empty if one of the ETags is not an MD5.

    >>> etag_of_parts(['"3349dc700140d7f86a078484278075a9"'])
    'f5c4f25dcc4f74057a674939fa8dcbd4-1'
    """
    bare = [etag.strip('"') for etag in etags]
    if not all(is_md5(etag) for etag in bare):
        return ""
    together = bytes.fromhex("".join(bare))
    return f"{hashlib.md5(together, usedforsecurity=False).hexdigest()}-{len(bare)}"


def copy_multipart(
    client: S3Client,
    bulk: BulkPlane,
    task: CopyTask,
    *,
    part_bytes: int,
    owner: str | None,
    interrupted: Callable[[], bool] = lambda: False,
) -> CopyOutcome:
    """Copy one large object and return the outcome; its `attempts` counts uploads.

    If the copy exists but its tags could not be set, the outcome has a fault and the copy's ETag, so that the next copy replaces
    it. Raises StorageRefused or StorageUnavailable if the run cannot continue, Interrupted when `interrupted` returns True. The
    upload is aborted before.
    """
    for attempt in range(1, ATTEMPTS + 1):
        upload = _Upload(client, bulk, task, owner, interrupted)
        try:
            etag, version, checksum = upload.run(part_bytes)
            return CopyOutcome(task, etag, version, checksum, None, attempt, upload.is_guarded)
        except ClientError as error:
            fault = name_refusing_place(task, _fault(error, task))
            if error.response["ResponseMetadata"].get("HTTPStatusCode") != 409 or attempt == ATTEMPTS:
                return CopyOutcome(task, upload.etag, fault=fault, attempts=attempt)
        except _FailedError as error:
            return CopyOutcome(task, fault=error.fault, attempts=attempt)
        except BotoCoreError as error:
            refusal = translate_error(error, _subject(task))
            if isinstance(refusal, StorageRefused) and refusal.code != "InvalidRequest":
                raise refusal from None
            code = getattr(refusal, "code", "ConnectionLost")
            return CopyOutcome(task, upload.etag, fault=Fault(code, refusal.message), attempts=attempt)
    raise AssertionError("the last attempt returns")


class _FailedError(Exception):
    """A fault of this object, found before anything was written."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


class _Upload:
    """One attempt at the upload."""

    def __init__(
        self, client: S3Client, bulk: BulkPlane, task: CopyTask, owner: str | None, interrupted: Callable[[], bool]
    ) -> None:
        self._client = client
        self._bulk = bulk
        self._task = task
        self._interrupted = interrupted
        self.is_guarded = True
        self.etag: str | None = None  # of the object at the target, even if its tags could not be set
        self._source: dict[str, Any] = {"Bucket": task.source.bucket, "Key": task.source.key}
        self._target: dict[str, Any] = {"Bucket": task.target.bucket, "Key": task.target.key}
        self._source_owner: dict[str, Any] = {}
        if task.source.version:
            self._source["VersionId"] = task.source.version
        self._copy_source: Any = dict(self._source)  # a dict, because botocore would encode a string again
        if owner is not None:
            self._source["ExpectedBucketOwner"] = self._target["ExpectedBucketOwner"] = owner
            self._source_owner["ExpectedSourceBucketOwner"] = owner

    def run(self, part_bytes: int) -> tuple[str, str | None, str | None]:
        """Copy the object.

        Return the target's ETag, and its version and CRC64NVME if S3 returned them.
        """
        tags = self._tags()  # before the HEAD, because a failed HEAD gives no reason
        head = _value(self._bulk.read_headers(self._task.source, self._task.source_etag))
        size, proof = int(head["content-length"]), _proof(head)
        upload_id = _value(self._bulk.begin_upload(self._task.target, self._content(head, tags) | _algorithm(proof)))
        upload = {**self._target, "UploadId": upload_id}
        try:
            parts = self._parts(upload, size, part_bytes)
            ended = self._complete(upload, parts, size, proof)
        except BaseException:
            self._abort(upload)
            raise
        # Ceph completes an upload without returning its ETag.
        self.etag = ended.get("ETag", "").strip('"') or etag_of_parts([part["ETag"] for part in parts])
        if tags:
            self._set_tags(tags, ended.get("VersionId"))
        return self.etag, ended.get("VersionId"), ended.get(CHECKSUM)

    def _tags(self) -> list[TagTypeDef]:
        """Return the source's tags; none if the endpoint does not support object tags."""
        try:
            tags = self._client.get_object_tagging(**self._source).get("TagSet")
        except ClientError as error:
            if error.response["Error"].get("Code") in NOT_OFFERED:
                return []
            raise
        if tags is None:  # unknown, not empty: Ceph answers so if a multipart upload set the tags
            raise _FailedError(TAGS_UNREADABLE)
        return tags

    def _content(self, head: dict[str, str], tags: list[TagTypeDef]) -> dict[str, str]:
        if hidden := hidden_metadata(head):
            message = f"S3 does not show {hidden} of its metadata entries: a copy in parts would lose them"
            raise _FailedError(Fault("MetadataUnreadable", message))
        content = carried_headers(head)
        if storage_class := class_of_copy(self._task.storage_class):
            content["x-amz-storage-class"] = storage_class
        if tagging := tagging_header(tags):
            content["x-amz-tagging"] = tagging
        return content

    def _parts(self, upload: dict[str, Any], size: int, part_bytes: int) -> list[dict[str, Any]]:
        numbered = list(enumerate(ranges(size, part_bytes), start=1))
        with ThreadPoolExecutor(PARTS_AT_ONCE, thread_name_prefix="part") as pool:
            try:
                return list(pool.map(lambda part: self._part(upload, *part), numbered))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _part(self, upload: dict[str, Any], number: int, span: tuple[int, int]) -> dict[str, Any]:
        if self._interrupted():
            raise Interrupted(_subject(self._task), hint="run the same command again: it continues")
        reply: Any = self._client.upload_part_copy(
            **upload,
            **self._source_owner,
            PartNumber=number,
            CopySource=self._copy_source,
            CopySourceIfMatch=f'"{self._task.source_etag}"',
            CopySourceRange=f"bytes={span[0]}-{span[1]}",
        )
        copied = reply["CopyPartResult"]
        checksum = {CHECKSUM: copied[CHECKSUM]} if copied.get(CHECKSUM) else {}
        return {"PartNumber": number, "ETag": copied["ETag"], **checksum}

    def _complete(self, upload: dict[str, Any], parts: list[dict[str, Any]], size: int, proof: str | None) -> Any:
        task = self._task
        guard: dict[str, Any] = (
            {"IfNoneMatch": "*"} if task.replaces_etag is None else {"IfMatch": f'"{task.replaces_etag}"'}
        )
        proven = {CHECKSUM: proof, "ChecksumType": "FULL_OBJECT"} if proof else {}
        arguments: dict[str, Any] = {**upload, **proven, "MultipartUpload": {"Parts": parts}, "MpuObjectSize": size}
        try:
            return self._client.complete_multipart_upload(**arguments, **guard)
        except ClientError as error:
            if error.response["Error"].get("Code") != "NotImplemented" or task.only_guarded:
                raise
        self.is_guarded = False
        return self._client.complete_multipart_upload(**arguments)

    def _set_tags(self, tags: list[TagTypeDef], version: str | None) -> None:
        """Set the tags. They may be too long for the header, and some endpoints ignore the header."""
        which = {**self._target, "VersionId": version} if version else self._target
        self._client.put_object_tagging(**which, Tagging={"TagSet": tags})

    def _abort(self, upload: dict[str, Any]) -> None:
        try:
            self._client.abort_multipart_upload(**upload)
        except (ClientError, BotoCoreError):
            return  # report the first failure only; the bucket's lifecycle rule removes the parts


def _value(answer: Answer[T]) -> T:
    """Return the value of an answer. Raises _FailedError for a fault."""
    if answer.value is None:
        assert answer.fault is not None
        code = {"NotFound": "NoSuchKey"}.get(answer.fault.code, answer.fault.code)
        raise _FailedError(replace(answer.fault, code=code))
    return answer.value


def _proof(head: dict[str, str]) -> str | None:
    return head.get("x-amz-checksum-crc64nvme") if head.get("x-amz-checksum-type") == "FULL_OBJECT" else None


def _algorithm(proof: str | None) -> dict[str, str]:
    return {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "FULL_OBJECT"} if proof else {}


def _fault(error: ClientError, task: CopyTask) -> Fault:
    """Return the fault of this object. Raises if the run cannot continue."""
    found = error.response["Error"]
    metadata = error.response["ResponseMetadata"]
    code = str(found.get("Code", "Unknown"))
    if verdict(code, metadata.get("HTTPStatusCode", 0)) in {Verdict.REFUSE, Verdict.REFRESH}:
        raise translate_error(error, _subject(task)) from None
    code = {"404": "NoSuchKey", "412": "PreconditionFailed", "403": "AccessDenied"}.get(code, code)
    return Fault(show_on_one_line(code), show_on_one_line(str(found.get("Message", code))), metadata.get("RequestId"))


def _subject(task: CopyTask) -> str:
    return f"copying s3://{task.source.bucket}/{task.source.key} to s3://{task.target.bucket}/{task.target.key}"
