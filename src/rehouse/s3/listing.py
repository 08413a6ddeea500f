"""One page of ListObjectsV2: XML to ListedObjects, strictly. A page that is not whole and in order is refused, never "empty".

Keys arrive URL-encoded (XML has no way to carry `\\r` and control characters); entities and DTDs are off.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote_plus

from lxml import etree  # type: ignore[import-untyped]

from rehouse.core.model import ListedObject


class Page(NamedTuple):
    """The objects of one page, by key in the order of UTF-8 bytes, and the token of the next page if there is one."""

    objects: list[ListedObject]
    token: str | None


def parse(body: bytes) -> Page:
    """Return the page; raise ValueError if the body is not one whole, ordered ListBucketResult.

    >>> parse(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    Page(objects=[], token=None)
    """
    root = _root(body)
    encoded = False
    truncated = count = token = None
    contents = []
    for child in root:
        name = _local(child.tag)
        if name == "Contents":
            contents.append(child)
        elif name == "IsTruncated":
            truncated = child.text
        elif name == "NextContinuationToken":
            token = child.text
        elif name == "EncodingType":
            encoded = child.text == "url"
        elif name == "KeyCount":
            count = child.text
    if truncated not in {"true", "false"} or (truncated == "true") != bool(token):
        raise ValueError("the listing does not say whether it goes on")
    objects = [_object(entry, encoded) for entry in contents]
    if count is not None and count != str(len(objects)):
        raise ValueError(f"the listing announces {count} keys and has {len(objects)}")
    if any(former.key >= latter.key for former, latter in pairwise(objects)):
        raise ValueError("the listing is not in the order of its keys' bytes")
    return Page(objects, token)


def _root(body: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        raise ValueError(f"the listing is not well-formed XML: {error.msg}") from None
    if root.getroottree().docinfo.doctype or _local(root.tag) != "ListBucketResult":
        raise ValueError("the reply is no listing")
    return root


def _object(entry: etree._Element, encoded: bool) -> ListedObject:
    fields = {_local(child.tag): child.text or "" for child in entry}
    try:
        key = fields["Key"]
        found = ListedObject(
            key=unquote_plus(key, errors="strict") if encoded else key,
            etag=fields["ETag"].strip('"'),
            size=int(fields["Size"]),
            storage_class=fields.get("StorageClass") or "STANDARD",
            modified_at=_time(fields["LastModified"]),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(f"an entry of the listing is not whole: {error}") from None
    if not key or found.size < 0:
        raise ValueError("an entry of the listing has no key or no size")
    return found


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2]
