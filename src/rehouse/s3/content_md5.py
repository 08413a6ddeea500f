"""Content-MD5 for older servers that require it.

By default botocore sends a CRC32, which they do not know. When a server refuses a request because the header is missing, it is
sent again with the header. From then on all requests of this operation have it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HEADER = "Content-MD5"


class ContentMd5:
    """Which operations of one client's server require the header."""

    def __init__(self) -> None:
        self._wanted: set[str] = set()

    def watch(self, client: S3Client) -> None:
        """Make the client add the header to the requests that require it."""
        client.meta.events.register("before-call.s3", self._before_call)
        client.meta.events.register("needs-retry.s3", self._needs_retry)  # type: ignore[arg-type]  # returns a delay

    def _before_call(self, model: Any, params: dict[str, Any], **_: object) -> None:
        if model.name in self._wanted:
            _add(params)

    def _needs_retry(self, response: Any, operation: Any, request_dict: dict[str, Any], **_: object) -> float | None:
        error = response[1].get("Error", {}) if response else {}
        is_wanted = error.get("Code") == "MissingContentMD5" or HEADER.lower() in str(error.get("Message", "")).lower()
        if not is_wanted or HEADER in request_dict["headers"] or not isinstance(request_dict.get("body"), bytes):
            return None
        self._wanted.add(operation.name)
        _add(request_dict)
        return 0.0


def _add(request: dict[str, Any]) -> None:
    body = request.get("body")
    if isinstance(body, bytes) and body:
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        request["headers"][HEADER] = base64.b64encode(digest).decode()
