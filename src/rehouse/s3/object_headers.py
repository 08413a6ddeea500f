"""What an object's headers say about it, byte for byte: what a copy in parts must send again, and `--deep` compares.

CopyObject keeps all of these by itself, except the website redirect, which S3 copies for nobody. Values are the bytes that
S3 showed, decoded as latin-1: raw UTF-8, the RFC 2047 form and a malformed date all go back as they came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import TagTypeDef

CONTENT = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)
METADATA = "x-amz-meta-"
HIDDEN = "x-amz-missing-meta"
"""How many metadata entries S3 does not show, because no header can carry them (S3 API Reference, HeadObject)."""
TAGGING_HEADER_BYTES = 2048
"""The most that `x-amz-tagging` carries here; the AWS CLI sets longer ones after the upload as well."""


def carried_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that belong to the object, of all that a HEAD or a GET answered (lower-case names).

    >>> carried_headers({"expires": "never", "etag": "x", "x-amz-meta-a": ""})
    {'expires': 'never', 'x-amz-meta-a': ''}
    """
    return {
        name: value
        for name, value in headers.items()
        if (name in CONTENT and value) or (name.startswith(METADATA) and name != METADATA)
    }


def hidden_metadata(headers: Mapping[str, str]) -> int:
    """Return how many metadata entries the object has that S3 does not show."""
    count = headers.get(HIDDEN, "0")
    return int(count) if count.isdecimal() else 1


def tagging_header(tags: Sequence[TagTypeDef]) -> str | None:
    """Return the tags as `x-amz-tagging`, or None if there are none or too many bytes of them for a header.

    >>> tagging_header([{"Key": "a b", "Value": "x&y"}])
    'a%20b=x%26y'
    """
    text = urlencode([(tag["Key"], tag["Value"]) for tag in tags], quote_via=quote, safe="")
    return text if 0 < len(text) <= TAGGING_HEADER_BYTES else None
