"""Parse one page of ListObjectsV2 strictly: an incomplete or unsorted page is an error, and never an empty page.

Keys arrive URL-encoded, because XML cannot carry `\\r` and control characters. Entities and DTDs are off.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote_plus

from lxml import etree  # type: ignore[import-untyped]

from rehouse.core.archiving import class_now
from rehouse.core.model import ListedObject

ROOT = "ListBucketResult"
ABOUT_THE_PAGE = ("IsTruncated", "NextContinuationToken", "EncodingType", "KeyCount")
ABOUT_AN_OBJECT = ("Key", "ETag", "Size", "StorageClass", "LastModified", "RestoreStatus")
"""The elements of an entry; all are in the namespace of the root."""


class UnusableListing(ValueError):
    """A complete page that differs from Amazon S3's format, so asking again would not help."""


class Page(NamedTuple):
    """The objects of one page, sorted by the UTF-8 bytes of their keys, and the token of the next page, if any."""

    objects: list[ListedObject]
    token: str | None


def parse(body: bytes) -> Page:
    """Parse a page. Raises ValueError if the body is not a ListBucketResult, UnusableListing if its form is unusable.

    >>> parse(b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
    Page(objects=[], token=None)
    """
    root = _root(body)
    space = str(root.tag).removesuffix(ROOT)
    if any(child.tag.rpartition("}")[0] != space[:-1] for child in root):
        raise UnusableListing("the listing mixes namespaces")
    truncated, token, encoding, count = (root.findtext(space + name) for name in ABOUT_THE_PAGE)
    if truncated == "true" and not token:
        raise UnusableListing("the listing continues but has no token: the endpoint does not offer ListObjectsV2")
    if truncated not in {"true", "false"} or (truncated == "false" and token):
        raise ValueError("the listing does not say whether it continues")
    names = tuple(space + name for name in ABOUT_AN_OBJECT)
    objects = [_object(entry, names, encoded=encoding == "url") for entry in root.iterchildren(space + "Contents")]
    if count is not None and count != str(len(objects)):
        raise UnusableListing(f"the listing announces {count} keys and has {len(objects)}")
    unordered = next(
        ((former.key, latter.key) for former, latter in pairwise(objects) if former.key >= latter.key), None
    )
    if unordered:
        raise UnusableListing(
            f"the listing is not in the order of its keys' bytes: {unordered[0]!r} comes before {unordered[1]!r}"
        )
    return Page(objects, token or None)


def _root(body: bytes) -> etree._Element:
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(body, parser)
    except etree.XMLSyntaxError as error:
        if body.rstrip().endswith(b"ListBucketResult>") and b"<EncodingType>" not in body:
            message = (
                f"the listing is not well-formed XML ({error.msg}) but complete: the endpoint does not encode its keys"
            )
            raise UnusableListing(message) from None
        raise ValueError(f"the listing is not well-formed XML: {error.msg}") from None
    if root.getroottree().docinfo.doctype or etree.QName(root).localname != ROOT:
        raise ValueError("the reply is not a listing")
    return root


def _object(entry: etree._Element, names: tuple[str, ...], *, encoded: bool) -> ListedObject:
    fields = {child.tag: child.text or "" for child in entry}
    key_name, etag, size, storage_class, modified_at, restore_status = names
    try:
        key = fields[key_name]
        found = ListedObject(
            unquote_plus(key, errors="strict") if encoded else key,
            fields[etag].strip('"'),
            int(fields[size]),
            class_now(
                fields.get(storage_class) or "STANDARD",
                is_restored=restore_status in fields and _is_restored(entry.find(restore_status)),
            ),
            _time(fields[modified_at]),
        )
    except KeyError as error:
        lacking = str(error.args[0]).rpartition("}")[2]
        raise UnusableListing(f"the listing shows no {lacking} of {fields.get(key_name)!r}") from None
    except ValueError as error:
        raise UnusableListing(f"an entry of the listing cannot be read: {error}") from None
    if not key or found.size < 0 or not found.etag:
        lacking = "key" if not key else "size" if found.size < 0 else "ETag"
        raise UnusableListing(f"the listing shows no {lacking} of {key!r}")
    return found


def _is_restored(status: etree._Element) -> bool:
    """Return whether a readable copy exists: the restore ended and has an expiry (S3 API Reference, RestoreStatus)."""
    told = {etree.QName(child).localname: child.text for child in status}
    return told.get("IsRestoreInProgress") == "false" and bool(told.get("RestoreExpiryDate"))


def _time(text: str) -> datetime:
    # Whole seconds: a HEAD tells no more, and the times of both are compared. Some servers list milliseconds.
    moment = datetime.fromisoformat(text).replace(microsecond=0)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
