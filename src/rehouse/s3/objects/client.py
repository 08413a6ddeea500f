"""One object at a time for the application: put, get, head, copy, delete, versions, and uploads in parts.

Each call is one request where S3 offers one. A request that fails is repeated only if that is safe: if a condition fails because
an earlier attempt of the same call was carried out after all, the call has succeeded.
"""

from __future__ import annotations

import random as chance
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from functools import partial
from hashlib import md5
from typing import TypeVar

from rehouse.core.errors import NoSuchObject, PreconditionFailed, StorageRefused
from rehouse.core.model import CopyTask, ObjectRef, TenantId
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.multipart import copy_multipart, etag_of_parts
from rehouse.s3.bulk.replies import read_upload
from rehouse.s3.bulk.requests import copy_seconds, object_name, version_query
from rehouse.s3.bulk.signing import query_string
from rehouse.s3.faults import ABSENT, NOT_OFFERED, PRECONDITION_FAILED, refused_error
from rehouse.s3.objects.access import Access, PerProcess, access_of
from rehouse.s3.objects.answers import (
    ObjectVersion,
    Part,
    StoredObject,
    read_completed,
    read_copied,
    read_etag,
    read_head,
    read_nothing,
    read_parts,
    read_put,
    read_uploads,
    read_versions,
)
from rehouse.s3.objects.calls import NOTHING, Calls, completion
from rehouse.s3.objects.checksums import CRC32, PREFIX, crc32_of, header_value
from rehouse.s3.objects.download import Download
from rehouse.s3.objects.http import Http
from rehouse.s3.objects.lines import Body
from rehouse.s3.objects.presign import Presigner
from rehouse.s3.objects.reader import ObjectReader
from rehouse.s3.objects.tenant_access import TenantAccess
from rehouse.s3.session import Session
from rehouse.s3.tenant_credentials import TenantCredentials

T = TypeVar("T")

NO_BODY = {"content-length": "0"}
COMPLETION_SECONDS = 300
"""How long S3 may take to put the parts of an upload together ("CompleteMultipartUpload", the S3 API Reference: minutes)."""
PAGE = 1000


class ObjectClient:
    """Requests for single objects. Safe for threads and forks: connections and credentials are made in each process.

    `owner` is the 12-digit account that must own every bucket. Header names are lower-case. Each method raises NoSuchObject for a
    missing object, PreconditionFailed for a condition that does not hold, StorageRefused and StorageUnavailable.
    """

    def __init__(
        self,
        session: Session,
        *,
        owner: str | None = None,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = chance.random,
    ) -> None:
        self._access = access_of(session, clock)
        self._http = Http(self._access, random=random)
        self._calls = Calls(self._access, owner)
        self._owner = owner
        self._known_buckets: set[str] = set()
        self.presigner = Presigner(session, self._access)

    def acting_for(
        self,
        tenant_id: TenantId,
        roles: PerProcess[TenantCredentials],
        *,
        own: Collection[str],
        shared: Collection[str],
    ) -> ObjectClient:
        """Return a client that reaches a tenant's `own` buckets with credentials of the tenant, over the same connections."""
        base = self._access
        access: PerProcess[Access] = PerProcess(
            lambda: TenantAccess(base(), roles(), tenant_id, own=own, shared=shared)
        )
        made = copy(self)
        made._access, made._http, made._calls = access, self._http.acting_with(access), Calls(access, self._owner)
        made.presigner = Presigner(base().session, access)
        return made

    def may_copy(self, source: str, target: str, other: ObjectClient) -> bool:
        """Return whether one signature serves to read the bucket `source` as `other` does, and to write to `target`."""
        return other._access().identity_of(source) is self._access().identity_of(target)

    def put(
        self,
        ref: ObjectRef,
        body: Body,
        *,
        content_type: str,
        headers: Mapping[str, str] = NOTHING,
        only_new: bool = True,
    ) -> StoredObject:
        """Upload an object in one request; with `only_new` only where there is none.

        The body is sent from where it is, and S3 compares its CRC32, unless `headers` hold another checksum.
        """
        body = memoryview(body).cast("B")
        sent = {"content-type": content_type, **headers, **({} if body else NO_BODY)}
        if not any(name.startswith(PREFIX) or name == "content-md5" for name in headers):
            sent[CRC32] = header_value(crc32_of(body))
        read = partial(read_put, len(body), content_type)

        def send(guard: Mapping[str, str]) -> StoredObject:
            call = self._calls.to_object("PUT", ref, read, headers={**sent, **guard}, body=body)
            try:
                return self._http.send(call)
            except PreconditionFailed:
                found = self.head(ref, with_checksums=True) if call.was_lost else None
                if found is None or not _is_of(found, body, sent):
                    raise
                return found

        return self._send_guarded(send, ref) if only_new else send(NOTHING)

    def get(self, ref: ObjectRef, *, start: int = 0, end: int | None = None, if_match: str | None = None) -> Download:
        """Return the bytes from `start` to before `end` (a negative `start` counts from the end) as they arrive.

        Raises StorageRefused with the code InvalidRange if the object is shorter. Nothing is asked before.
        """
        if end is not None and end <= start:
            raise ValueError(f"no byte lies between {start} and {end}")
        return Download(self._http, partial(self._calls.get, ref), (start, end), if_match)

    def open(self, ref: ObjectRef) -> ObjectReader:
        """Return the object as a seekable binary file. Nothing is requested before the first read."""
        return ObjectReader(
            lambda start, end, etag: self.get(ref, start=start, end=end, if_match=etag), object_name(ref)
        )

    def head(self, ref: ObjectRef, *, with_checksums: bool = False) -> StoredObject | None:
        """Return what S3 knows of the object, or None if it is missing.

        At the first missing object of a bucket S3 is asked for the bucket as well: a HEAD does not tell which of them is missing.
        """
        headers = {f"{PREFIX}mode": "ENABLED"} if with_checksums else {}
        call = self._calls.to_object("HEAD", ref, read_head, query=version_query(ref), headers=headers)
        try:
            return self._http.send(call)
        except NoSuchObject:
            self._check_bucket(ref.bucket)
            return None

    def copy(
        self,
        source: ObjectRef,
        target: ObjectRef,
        *,
        source_etag: str,
        size: int,
        headers: Mapping[str, str] = NOTHING,
        only_new: bool = True,
    ) -> StoredObject:
        """Copy an object on the server's side, if its ETag is still `source_etag`; with `only_new` only where there is none.

        Type, metadata and tags are kept. Above the setting `multipart_threshold_bytes` it is copied in parts; `headers` can then
        not be given. Servers other than Amazon's may ignore the condition on the target: they are asked for it first.
        """
        session = self._access().session
        if only_new and not session.is_aws and self.head(target) is not None:
            raise PreconditionFailed(object_name(target))
        task = CopyTask("", source, source_etag, size, "STANDARD", target)
        if size > session.settings.multipart_threshold_bytes:
            return self._copy_in_parts(task, headers, self._access().session_of(target.bucket), only_new=only_new)
        subject = f"copying {object_name(source)} to {object_name(target)}"

        def send(guard: Mapping[str, str]) -> StoredObject:
            sent = {**self._calls.copy_headers(task, subject), **headers, **guard}
            call = self._calls.to_object(
                "PUT", target, partial(read_copied, size), headers=sent, seconds=copy_seconds(size), subject=subject
            )
            try:
                return self._http.send(call)
            except PreconditionFailed:
                found = self.head(target) if call.was_lost and guard else None
                if found is None or (found.etag, found.size) != (source_etag, size):
                    raise
                return found

        return self._send_guarded(send, target) if only_new else send(NOTHING)

    def delete(self, ref: ObjectRef, *, if_match: str | None = None) -> None:
        """Delete an object, if its ETag is still `if_match`. A missing object is fine."""
        condition = {} if if_match is None else {"if-match": f'"{if_match}"'}
        call = self._calls.to_object("DELETE", ref, read_nothing, query=version_query(ref), headers=condition)
        try:
            self._http.send(call)
        except NoSuchObject:
            return
        except PreconditionFailed:
            if not call.was_lost or self.head(ref) is not None:
                raise

    def versions(self, bucket: str, prefix: str) -> Iterator[ObjectVersion]:
        """Yield the versions and delete markers of all keys with this prefix, sorted by key, the newest first."""
        markers: tuple[str, str] | None = None
        while True:
            parameters = [("versions", ""), ("encoding-type", "url"), ("max-keys", str(PAGE)), ("prefix", prefix)]
            if markers is not None:
                parameters += [("key-marker", markers[0]), ("version-id-marker", markers[1])]
            page = self._http.send(self._calls.to_bucket(bucket, parameters, read_versions, prefix))
            if not all(found.key.startswith(prefix) for found in page.versions):
                raise refused_error(
                    "MalformedListing", "the endpoint lists keys that were not asked for", f"s3://{bucket}"
                )
            yield from page.versions
            if page.following is None:
                return
            if page.following == markers:
                raise refused_error("MalformedListing", "the endpoint lists the same page for ever", f"s3://{bucket}")
            markers = page.following

    def create_multipart(self, ref: ObjectRef, *, content_type: str, headers: Mapping[str, str] = NOTHING) -> str:
        """Begin an upload in parts and return its id."""
        sent = {**NO_BODY, "content-type": content_type, **headers}
        return self._http.send(
            self._calls.to_object("POST", ref, read_upload, query=query_string([("uploads", "")]), headers=sent)
        )

    def upload_part(
        self, ref: ObjectRef, upload_id: str, number: int, body: Body, *, headers: Mapping[str, str] = NOTHING
    ) -> str:
        """Upload a part (numbers 1 to 10,000) and return its ETag.

        `headers` may hold its CRC32 if the upload was begun with `x-amz-checksum-algorithm: CRC32`: S3 then compares it.
        """
        body = memoryview(body).cast("B")
        query = query_string([("partNumber", str(number)), ("uploadId", upload_id)])
        sent = {**headers, **({} if body else NO_BODY)}
        return self._http.send(self._calls.to_object("PUT", ref, read_etag, query=query, headers=sent, body=body))

    def list_parts(self, ref: ObjectRef, upload_id: str) -> list[Part]:
        """Return the parts uploaded so far, sorted by number."""
        parts: list[Part] = []
        after: int | None = 0
        while after is not None:
            parameters = [("uploadId", upload_id), ("max-parts", str(PAGE))]
            parameters += [("part-number-marker", str(after))] if after else []
            page = self._http.send(self._calls.to_object("GET", ref, read_parts, query=query_string(parameters)))
            parts += page.parts
            if page.following is not None and page.following <= after:
                raise refused_error("MalformedListing", "the endpoint lists the same parts for ever", object_name(ref))
            after = page.following
        return parts

    def complete_multipart(
        self,
        ref: ObjectRef,
        upload_id: str,
        parts: Sequence[Part],
        *,
        only_new: bool,
        headers: Mapping[str, str] = NOTHING,
    ) -> StoredObject:
        """Make the object of its parts; with `only_new` only where there is none."""
        body = completion(parts)
        size, etag = sum(part.size for part in parts), etag_of_parts([part.etag for part in parts])

        def send(guard: Mapping[str, str]) -> StoredObject:
            call = self._calls.to_object(
                "POST", ref, partial(read_completed, etag, size), query=query_string([("uploadId", upload_id)]),
                headers={"content-type": "application/xml", **headers, **guard}, body=body, seconds=COMPLETION_SECONDS,
            )  # fmt: skip
            try:
                return self._http.send(call)
            except (NoSuchObject, PreconditionFailed):
                found = self.head(ref) if call.was_lost else None
                if found is None or (found.etag, found.size) != (etag, size):
                    raise
                return found

        return self._send_guarded(send, ref) if only_new else send(NOTHING)

    def abort_multipart(self, ref: ObjectRef, upload_id: str) -> None:
        """Abort an upload in parts. An upload that is gone is fine."""
        try:
            self._http.send(
                self._calls.to_object("DELETE", ref, read_nothing, query=query_string([("uploadId", upload_id)]))
            )
        except NoSuchObject:
            return

    def open_uploads(self, ref: ObjectRef) -> list[str]:
        """Return the ids of the uploads in parts of an object that are open, at most 1,000."""
        parameters = [("uploads", ""), ("encoding-type", "url"), ("prefix", ref.key)]
        found = self._http.send(self._calls.to_bucket(ref.bucket, parameters, read_uploads, ref.key))
        return [upload_id for key, upload_id in found if key == ref.key]

    def close(self) -> None:
        """Close the idle connections of this process."""
        self._http.close()

    def _send_guarded(self, send: Callable[[Mapping[str, str]], T], target: ObjectRef) -> T:
        """Send with the condition that there is no object; where the endpoint does not offer that, look first."""
        try:
            return send({"if-none-match": "*"})
        except StorageRefused as error:
            if error.code not in NOT_OFFERED:
                raise
        if self.head(target) is not None:
            raise PreconditionFailed(object_name(target))
        return send(NOTHING)

    def _check_bucket(self, bucket: str) -> None:
        """Raise if the bucket is missing or elsewhere, but not if a right is denied."""
        if bucket in self._known_buckets:
            return
        parameters = [("list-type", "2"), ("max-keys", "1")]
        try:
            self._http.send(self._calls.to_bucket(bucket, parameters, read_nothing, ""))
        except StorageRefused as error:
            if error.code != "AccessDenied":
                raise
        self._known_buckets.add(bucket)

    def _copy_in_parts(
        self, task: CopyTask, headers: Mapping[str, str], session: Session, *, only_new: bool
    ) -> StoredObject:
        if headers or not only_new:
            raise ValueError("a copy in parts keeps the headers of its source, and replaces nothing")
        bulk = BulkPlane(session, max_in_flight=4, max_rate=None, owner=self._owner)
        try:
            part_bytes = session.settings.multipart_part_bytes
            outcome = copy_multipart(session.client("s3"), bulk, task, part_bytes=part_bytes, owner=self._owner)
        finally:
            bulk.close()
        if outcome.fault is None:
            found = self.head(task.target, with_checksums=True)
            if found is not None and found.etag == outcome.etag:
                return found
            raise PreconditionFailed(object_name(task.target))
        subject, code = f"copying {object_name(task.source)} to {object_name(task.target)}", outcome.fault.code
        if code == PRECONDITION_FAILED:
            raise PreconditionFailed(subject, outcome.fault.message)
        raise NoSuchObject(subject, code) if code in ABSENT else refused_error(code, outcome.fault.message, subject)


def _is_of(found: StoredObject, body: Body, sent: Mapping[str, str]) -> bool:
    """Return whether the object holds these bytes: the checksum that was sent, or else the MD5, says so."""
    if found.size != len(body):
        return False
    told = {f"{PREFIX}{name}": value for name, value in found.checksums.items()}
    common = told.keys() & sent.keys()
    if common:
        return all(told[name] == sent[name] for name in common)
    return found.etag == md5(body, usedforsecurity=False).hexdigest()
