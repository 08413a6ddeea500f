"""What S3's answers about single objects say, read strictly: an incomplete answer is None, and the request is sent again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import unquote_plus

from lxml import etree  # type: ignore[import-untyped]

from rehouse.core.model import Fault
from rehouse.s3.bulk.replies import CopyReply, Reply, header_time, read_copy, server_time
from rehouse.s3.objects.checksums import NOT_VALUES, PREFIX

_LAST_MODIFIED = "last-modified"
_OF_THE_ANSWER = {"content-type": ""}
"""What the headers of an answer with a body say about that body, and not about the object."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as an answer describes it: `size` is that of the whole object, `etag` without quotes.

    `checksums` maps algorithm (lower case) → value, as far as S3 tells them. `modified_at`: S3's time; of a PUT, the time of its
    answer. `headers`: all headers of the answer, lower-case names.
    """

    etag: str
    size: int
    content_type: str
    version: str | None
    checksums: Mapping[str, str]
    modified_at: datetime
    headers: Mapping[str, str] = field(repr=False)


class ObjectVersion(NamedTuple):
    """A version of an object, or a delete marker (`is_marker`, without ETag and size)."""

    key: str
    version: str
    etag: str
    size: int
    modified_at: datetime
    is_latest: bool
    is_marker: bool


class Part(NamedTuple):
    """A part of an open multipart upload; `etag` without quotes. `crc32`: its checksum, if the upload was begun with CRC32."""

    number: int
    etag: str
    size: int
    crc32: str = ""


class VersionPage(NamedTuple):
    """A page of versions, and the markers (key, version) of the next one."""

    versions: list[ObjectVersion]
    following: tuple[str, str] | None


class PartPage(NamedTuple):
    """A page of parts, and the number after which the next one begins."""

    parts: list[Part]
    following: int | None


def describe(headers: Mapping[str, str], *, size: int | None = None, content_type: str = "") -> StoredObject | Fault:
    """Return the object that the headers describe; `size` and `content_type` where an answer does not repeat them."""
    etag = headers.get("etag", "").strip('"')
    if size is None:
        size = total_size(headers)
    moment = header_time(headers, _LAST_MODIFIED) or server_time(headers) or datetime.now(UTC)
    if not etag or size is None:
        lacking = "size" if etag else "ETag"
        return Fault("IncompleteObject", f"the endpoint does not return the {lacking} of this object")
    checksums = {
        name.removeprefix(PREFIX): value
        for name, value in headers.items()
        if name.startswith(PREFIX) and name not in NOT_VALUES
    }
    return StoredObject(
        etag, size, headers.get("content-type", content_type), headers.get("x-amz-version-id"), checksums,
        moment.astimezone(UTC), headers,
    )  # fmt: skip


def total_size(headers: Mapping[str, str]) -> int | None:
    """Return the size of the whole object, also from the answer to a range.

    >>> total_size({"content-length": "1", "content-range": "bytes 0-0/12"}), total_size({"content-length": "5"})
    (12, 5)
    """
    _, _, told = headers.get("content-range", "").partition("/")
    text = told or headers.get("content-length", "")
    return int(text) if text.isdecimal() else None


def read_nothing(reply: Reply) -> bool:
    """Return that the request succeeded; its answer has no body."""
    return True


def read_etag(reply: Reply) -> str | Fault:
    """Return the ETag of an uploaded part."""
    etag = reply.headers().get("etag", "").strip('"')
    return etag or Fault("IncompleteObject", "the endpoint does not return the ETag of this part")


def read_head(reply: Reply) -> StoredObject | Fault:
    """Return the object of a HEAD."""
    return describe(reply.headers())


def read_put(size: int, content_type: str, reply: Reply) -> StoredObject | Fault:
    """Return the object that was uploaded with this size and type."""
    return describe(reply.headers(), size=size, content_type=content_type)


def read_copied(size: int, reply: Reply) -> StoredObject | Fault | None:
    """Return the object that a copy of this size made."""
    copied: CopyReply | None = read_copy(reply)
    if copied is None:
        return None
    checksum = {f"{PREFIX}crc64nvme": copied.checksum} if copied.checksum else {}
    return describe({**reply.headers(), **_OF_THE_ANSWER, "etag": copied.etag, **checksum}, size=size)


def read_completed(etag: str, size: int, reply: Reply) -> StoredObject | Fault | None:
    """Return the object that was made of parts of this size; `etag`: what it is if the endpoint does not tell.

    Even a 200 may have an error in its body.
    """
    root = _root(reply.body, "CompleteMultipartUploadResult")
    if root is None:
        return None
    headers = {**reply.headers(), **_OF_THE_ANSWER, "etag": etag}
    for name, text in _fields(root).items():
        if name == "ETag" and text:
            headers["etag"] = text
        elif name.startswith("Checksum") and name != "ChecksumType" and text:
            headers[f"{PREFIX}{name.removeprefix('Checksum').lower()}"] = text
    return describe(headers, size=size)


def read_parts(reply: Reply) -> PartPage | Fault | None:
    """Return a page of ListParts."""
    root = _root(reply.body, "ListPartsResult")
    try:
        return None if root is None else _parts(root)
    except (KeyError, ValueError) as error:
        return Fault("MalformedListing", f"the list of parts cannot be read: {error}")


def read_uploads(reply: Reply) -> list[tuple[str, str]] | None:
    """Return key and id of the first open uploads in parts, from a listing that was asked for URL-encoded keys."""
    root = _root(reply.body, "ListMultipartUploadsResult")
    if root is None:
        return None
    is_encoded = _fields(root).get("EncodingType") == "url"
    uploads = [_fields(child) for child in root if etree.QName(child).localname == "Upload"]
    return [(_key(each["Key"], is_encoded), each["UploadId"]) for each in uploads]


def read_versions(reply: Reply) -> VersionPage | Fault | None:
    """Return a page of ListObjectVersions, which was asked for URL-encoded keys."""
    root = _root(reply.body, "ListVersionsResult")
    try:
        return None if root is None else _versions(root)
    except (KeyError, ValueError) as error:
        return Fault("MalformedListing", f"the list of versions cannot be read: {error}")


def _parts(root: etree._Element) -> PartPage:
    told = _fields(root)
    following = told["NextPartNumberMarker"] if told.get("IsTruncated") == "true" else ""
    listed = [_fields(child) for child in root if etree.QName(child).localname == "Part"]
    parts = [
        Part(int(each["PartNumber"]), each["ETag"].strip('"'), int(each["Size"]), each.get("ChecksumCRC32", ""))
        for each in listed
    ]
    return PartPage(parts, int(following) if following else None)


def _versions(root: etree._Element) -> VersionPage:
    told = _fields(root)
    is_encoded = told.get("EncodingType") == "url"
    kinds = [(etree.QName(child).localname, child) for child in root]
    versions = [
        _version(_fields(child), is_marker=kind == "DeleteMarker", is_encoded=is_encoded)
        for kind, child in kinds
        if kind in {"Version", "DeleteMarker"}
    ]
    if told.get("IsTruncated") != "true":
        return VersionPage(versions, None)
    return VersionPage(versions, (_key(told["NextKeyMarker"], is_encoded), told.get("NextVersionIdMarker", "")))


def _version(fields: dict[str, str], *, is_marker: bool, is_encoded: bool) -> ObjectVersion:
    return ObjectVersion(
        _key(fields["Key"], is_encoded),
        fields["VersionId"],
        "" if is_marker else fields["ETag"].strip('"'),
        0 if is_marker else int(fields["Size"]),
        _moment(fields["LastModified"]),
        fields.get("IsLatest") == "true",
        is_marker,
    )


def _key(text: str, is_encoded: bool) -> str:
    return unquote_plus(text, errors="strict") if is_encoded else text


def _root(body: bytes, name: str) -> etree._Element | None:
    """Return the root of an answer, or None if the answer is cut off or another one."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body.strip(), parser)
    except etree.XMLSyntaxError:
        return None
    return root if etree.QName(root).localname == name and not root.getroottree().docinfo.doctype else None


def _fields(element: etree._Element) -> dict[str, str]:
    return {etree.QName(child).localname: child.text or "" for child in element}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
