"""Read S3's replies strictly: for an incomplete reply the readers return None, and the request is sent again.

A complete reply that lacks what rehouse needs is a Fault, because another attempt would get the same reply.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from rehouse.core.archiving import class_now
from rehouse.core.model import Fault, ListedObject
from rehouse.s3.faults import show_on_one_line, transport_code

_QUOTES = (b"&quot;", b"&#34;", b'"')
_NO_ETAG = b'<>&" \t\r\n\v\f'
_VERSION = b"\nx-amz-version-id:"
_SPACES = " \t\r\n"
"""The white space around a header's value. `str.strip` would also strip bytes that may end a UTF-8 character."""
_ELEMENT = {
    name: re.compile(f"<{name}>([^<]*)</{name}>")
    for name in ("Code", "Message", "RequestId", "Region", "Condition", "UploadId")
}
_ENTITIES = (
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", '"'),
    ("&#34;", '"'),
    ("&apos;", "'"),
    ("&#39;", "'"),
    ("&amp;", "&"),
)
_STATUS_CODES = {
    304: "NotModified", 400: "BadRequest", 403: "AccessDenied", 404: "NotFound", 407: "ProxyRefused",
    412: "PreconditionFailed", 501: "NotImplemented", 503: "ServiceUnavailable",
}  # fmt: skip
CHECKSUM_PREFIX = "x-amz-checksum-"


@dataclass(slots=True, eq=False)
class Reply:
    """One reply: curl's error number and message, the HTTP status, raw header lines and the body.

    `errno` is 0 if the transfer was complete. `proxy_status` is the status of a proxy that did not open the tunnel.
    """

    errno: int
    error: str
    status: int
    lines: list[bytes]
    body: bytes
    proxy_status: int = 0

    def headers(self) -> dict[str, str]:
        """Return the headers of the last response, with lower-case names and values as latin-1."""
        found: dict[str, str] = {}
        for line in self.lines:
            name, colon, value = line.decode("latin-1").partition(":")
            if name.startswith("HTTP/"):
                found.clear()
            elif colon:
                found[name.lower()] = value.strip(_SPACES)
        return found

    def fault(self) -> Fault:
        """Return why the request failed, with S3's own code if there is one."""
        if self.errno:
            return Fault(
                transport_code(self.errno, self.proxy_status), show_on_one_line(f"{self.error} (curl {self.errno})")
            )
        text = self.body[:65536].decode("utf-8", "replace")
        request_id = element(text, "RequestId") or self.headers().get("x-amz-request-id")
        code = element(text, "Code") if "<Error" in text else None
        if code is None:
            code = "IncompleteReply" if 200 <= self.status < 300 else _status_code(self.status)
        message = element(text, "Message") or f"HTTP status {self.status}"
        condition = element(text, "Condition")
        return Fault(
            show_on_one_line(code), show_on_one_line(f"{message} ({condition})" if condition else message), request_id
        )

    def region(self) -> str | None:
        """Return the right region, if a redirect names it."""
        text = self.body[:65536].decode("utf-8", "replace")
        return self.headers().get("x-amz-bucket-region") or element(text, "Region")

    def is_marked(self) -> bool:
        """Return whether the object has a delete marker."""
        return self.headers().get("x-amz-delete-marker", "").lower() == "true"

    def retry_after(self) -> float | None:
        """Return the seconds in Retry-After; a date is ignored."""
        value = self.headers().get("retry-after", "")
        return float(value) if value.isdecimal() else None


class CopyReply(NamedTuple):
    """A finished copy: the target's ETag, and its version and CRC64NVME if S3 returned them."""

    etag: str
    version: str | None
    checksum: str | None


class HeadReply(NamedTuple):
    """An object that a HEAD found."""

    object: ListedObject
    version: str | None
    checksums: dict[str, str]


def read_copy(reply: Reply) -> CopyReply | None:
    """Return the finished copy, or None: even a 200 may have an error in its body."""
    _, opening, result = reply.body.rstrip().partition(b"<CopyObjectResult")
    if not opening or result[:1] not in b"> \t\r\n" or not result.endswith(b"</CopyObjectResult>"):
        return None
    etag = _inside(result, b"<ETag>", b"</ETag>").strip()
    for quote in _QUOTES:
        etag = etag.removeprefix(quote).removesuffix(quote)
    if not etag or etag.translate(None, _NO_ETAG) != etag:
        return None
    head = b"".join(reply.lines)
    at = head.lower().find(_VERSION)
    version = head[at + len(_VERSION) :].partition(b"\n")[0].strip() if at >= 0 else b""
    checksum = _inside(result, b"<ChecksumCRC64NVME>", b"</ChecksumCRC64NVME>")
    return CopyReply(etag.decode("latin-1"), version.decode("latin-1") or None, checksum.decode("latin-1") or None)


def read_head(key: str, reply: Reply) -> HeadReply | Fault:
    """Return the object that the headers describe, or a fault if a required header is missing."""
    headers = reply.headers()
    etag, size, modified_at = (
        headers.get("etag"),
        headers.get("content-length", ""),
        header_time(headers, "last-modified"),
    )
    if not etag or not size.isdecimal() or not modified_at:
        lacking = "ETag" if not etag else "Last-Modified" if not modified_at else "Content-Length"
        return Fault("IncompleteObject", f"the endpoint does not return the {lacking} of this object")
    storage_class = class_now(
        headers.get("x-amz-storage-class", "STANDARD"),
        archive_tier=headers.get("x-amz-archive-status", ""),
        is_restored='ongoing-request="false"' in headers.get("x-amz-restore", ""),
    )
    listed = ListedObject(key, etag.strip('"'), int(size), storage_class, modified_at.astimezone(UTC))
    checksums = {
        name.removeprefix(CHECKSUM_PREFIX): value for name, value in headers.items() if name.startswith(CHECKSUM_PREFIX)
    }
    return HeadReply(listed, headers.get("x-amz-version-id"), checksums)


def read_headers(reply: Reply) -> dict[str, str] | None:
    """Return all headers of an object's HEAD, or None if a required header is missing."""
    headers = reply.headers()
    return headers if headers.get("content-length", "").isdecimal() else None


def read_upload(reply: Reply) -> str | None:
    """Return the id of the new multipart upload, or None if the reply has none."""
    body = reply.body.rstrip()
    if not body.endswith(b"</InitiateMultipartUploadResult>"):
        return None
    return element(body.decode("utf-8", "replace"), "UploadId")


def element(text: str, name: str) -> str | None:
    """Return the text of an element of an error document, or None.

    `name` must be one of those known here.
    """
    match = _ELEMENT[name].search(text)
    if match is None or not match[1]:
        return None
    value = match[1]
    for entity, character in _ENTITIES:
        value = value.replace(entity, character)
    return value


def server_time(headers: Mapping[str, str]) -> datetime | None:
    """Return the time on the server's clock, or None."""
    return header_time(headers, "date")


def header_time(headers: Mapping[str, str], name: str) -> datetime | None:
    """Return the time in a header, or None."""
    try:
        return parsedate_to_datetime(headers.get(name, ""))
    except ValueError:
        return None


def _inside(body: bytes, opening: bytes, closing: bytes) -> bytes:
    """Return the text between two tags; empty if a tag is missing or it is not text."""
    began = body.find(opening)
    ended = body.find(closing, began)
    text = body[began + len(opening) : ended] if 0 <= began < ended else b""
    return b"" if b"<" in text else text


def _status_code(status: int) -> str:
    return "Redirect" if 300 <= status < 304 or status in {307, 308} else _STATUS_CODES.get(status, f"HTTP{status}")
