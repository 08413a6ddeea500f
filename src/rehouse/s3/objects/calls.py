"""The requests for single objects as data: where each goes, and with which headers. Nothing is sent here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from xml.sax.saxutils import escape

from rehouse.core.model import CopyTask, Fault, ObjectRef
from rehouse.s3.bulk.replies import Reply
from rehouse.s3.bulk.requests import SECONDS, copy_headers, key_path, object_name, version_query
from rehouse.s3.bulk.signing import UNSENDABLE, query_string
from rehouse.s3.faults import refused_error
from rehouse.s3.objects.access import Access, PerProcess
from rehouse.s3.objects.answers import Part, read_nothing
from rehouse.s3.objects.lines import Body, Call

T = TypeVar("T")

NOTHING: Mapping[str, str] = {}
KIND = "object"


class Calls:
    """Makes requests; `owner` is the account that must own every bucket.

    Raises StorageRefused for a name, key or header value that cannot be sent.
    """

    def __init__(self, access: PerProcess[Access], owner: str | None) -> None:
        self._access = access
        self._owner = owner

    def to_object(
        self,
        method: str,
        ref: ObjectRef,
        read: Callable[[Reply], T | Fault | None],
        *,
        query: str = "",
        headers: Mapping[str, str] = NOTHING,
        body: Body = b"",
        seconds: int = SECONDS,
        subject: str = "",
    ) -> Call[T]:
        """Return a request for an object."""
        subject = subject or object_name(ref)
        try:
            endpoint = self._access().endpoint(ref.bucket)
            path = endpoint.path + key_path(ref.key)
        except ValueError as error:
            raise refused_error("InvalidRequest", str(error), subject) from None
        sent = self._check_headers(headers, subject)
        return Call(KIND, method, endpoint, path, query, sent, subject, read, seconds=seconds, body=body)

    def get(self, ref: ObjectRef, span: str | None, if_match: str | None) -> Call[bool]:
        """Return the request for an object's bytes; `span` is the value of Range."""
        headers = {} if span is None else {"range": span}
        if if_match is not None:
            headers["if-match"] = f'"{if_match}"'
        return self.to_object("GET", ref, read_nothing, query=version_query(ref), headers=headers)

    def to_bucket(
        self, bucket: str, parameters: Sequence[tuple[str, str]], read: Callable[[Reply], T | Fault | None], prefix: str
    ) -> Call[T]:
        """Return a listing's request."""
        subject = f"s3://{bucket}/{prefix}"
        try:
            endpoint = self._access().endpoint(bucket)
        except ValueError as error:
            raise refused_error("InvalidRequest", str(error), subject) from None
        headers = self._check_headers(NOTHING, subject)
        return Call(KIND, "GET", endpoint, endpoint.path, query_string(parameters), headers, subject, read)

    def copy_headers(self, task: CopyTask, subject: str) -> dict[str, str]:
        """Return the headers of a copy, without the condition on its target."""
        try:
            return copy_headers(task, self._owner, guarded=False)
        except ValueError as error:
            raise refused_error("InvalidRequest", str(error), subject) from None

    def _check_headers(self, headers: Mapping[str, str], subject: str) -> dict[str, str]:
        for name, value in headers.items():
            if not value.isascii() or UNSENDABLE.search(value):
                message = f"the header {name} holds a line break, a zero byte or a letter outside ASCII"
                raise refused_error("InvalidRequest", message, subject)
        return {**headers} if self._owner is None else {**headers, "x-amz-expected-bucket-owner": self._owner}


def completion(parts: Sequence[Part]) -> bytes:
    """Return the body that completes an upload of these parts."""
    inside = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag>"
        + (f"<ChecksumCRC32>{escape(part.crc32)}</ChecksumCRC32>" if part.crc32 else "")
        + "</Part>"
        for part in parts
    )
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<CompleteMultipartUpload xmlns="{namespace}">{inside}</CompleteMultipartUpload>'.encode()
