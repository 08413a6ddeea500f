"""The headers that belong to an object, byte for byte: a multipart copy must send them again, and `--deep` compares them.

CopyObject keeps all of them, except the website redirect, which S3 never copies. Values are the bytes that S3 returned,
decoded as latin-1, so raw UTF-8, the RFC 2047 form and malformed dates are sent back unchanged.
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
"""The header with the number of metadata entries that no header can carry (S3 API Reference, HeadObject)."""
TAGGING_HEADER_BYTES = 2048
"""The most bytes to send in `x-amz-tagging`. Longer tags are set after the upload, as the AWS CLI does."""


def carried_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return those headers of a HEAD or GET that belong to the object (lower-case names).

    >>> carried_headers({"expires": "never", "etag": "x", "x-amz-meta-a": ""})
    {'expires': 'never', 'x-amz-meta-a': ''}
    """
    return {
        name: value
        for name, value in headers.items()
        if (name in CONTENT and value) or (name.startswith(METADATA) and name != METADATA)
    }


def hidden_metadata(headers: Mapping[str, str]) -> int:
    """Return how many metadata entries of the object S3 does not return."""
    count = headers.get(HIDDEN, "0")
    return int(count) if count.isdecimal() else 1


def tagging_header(tags: Sequence[TagTypeDef]) -> str | None:
    """Return the tags as the value of `x-amz-tagging`.

    None if there are none or they are too long for a header.

    >>> tagging_header([{"Key": "a b", "Value": "x&y"}])
    'a%20b=x%26y'
    """
    text = urlencode([(tag["Key"], tag["Value"]) for tag in tags], quote_via=quote, safe="")
    return text if 0 < len(text) <= TAGGING_HEADER_BYTES else None
