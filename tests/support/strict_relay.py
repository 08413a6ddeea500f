"""S3 as strict as AWS has it, for tests: a relay with the rules that no local server keeps.

Whose a bucket is comes first, then the conditions on a copy's source and on what is at the target. A request that ought to
name the owner and does not is let through and noted in `unowned`. The look at an object and the write after it are two steps:
nobody else may write to that key meanwhile. Sources: "Verifying bucket ownership with bucket owner condition" and "How to
prevent object overwrites with conditional writes", the S3 User Guide.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple
from urllib.parse import parse_qs, unquote

from botocore.exceptions import ClientError
from tests.support.faults import refusal
from tests.support.http_relay import After, Before, HttpRelay, Reply, Request

from rehouse.sandbox.s3_server import S3Server

OWNER, SOURCE_OWNER = "x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"
WITHOUT_OWNER = frozenset({"ListBuckets", "PUT bucket", "sts"})
"""What takes no owner: S3 ignores it on CreateBucket and ListBuckets."""
SOMEBODY_ELSE = "999999999999"


class Source(NamedTuple):
    """What a copy reads."""

    bucket: str
    key: str
    version: str | None


class StrictRelay(HttpRelay):
    """The relay as a context manager. The test's own `meanwhile` is asked before the `rules`, the first answer holds."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(server.port)
        self.root = server.root()
        self.account = server.root("sts").get_caller_identity()["Account"]
        self.elsewhere: set[str] = set()
        """The buckets of another account."""
        self.unowned: list[str] = []
        self.meanwhile: Before = lambda request: None
        self.rules: list[Before] = [self._owners, self._source_condition, self._target_condition]
        self.endings: list[After] = [self._own_buckets]
        self.before, self.after = self._ruled, self._ended

    def etag(self, bucket: str, key: str, version: str | None = None) -> str | None:
        """Return the ETag of what is there now, or None if nothing is."""
        which = {"VersionId": version} if version else {}
        try:
            return self.root.head_object(Bucket=bucket, Key=key, **which)["ETag"]
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def _ruled(self, request: Request) -> Reply | None:
        answers = (rule(request) for rule in (self.meanwhile, *self.rules))
        return next((answer for answer in answers if answer), None)

    def _ended(self, request: Request, reply: Reply) -> Reply:
        for ending in self.endings:
            reply = ending(request, reply)
        return reply

    def _owners(self, request: Request) -> Reply | None:
        if request.operation in WITHOUT_OWNER:
            taken = request.operation == "PUT bucket" and request.bucket in self.elsewhere
            return refusal(409, "BucketAlreadyExists")(request) if taken else None
        source = source_of(request)
        for bucket, header in ((request.bucket, OWNER), (source.bucket if source else None, SOURCE_OWNER)):
            if bucket is None:
                continue
            named = request.headers.get(header)
            if named is None:
                self.unowned.append(f"{request.operation} {request.path}: no {header}")
            elif named != (SOMEBODY_ELSE if bucket in self.elsewhere else self.account):
                return refusal(403, "AccessDenied")(request)
        return None

    def _source_condition(self, request: Request) -> Reply | None:
        source, wanted = source_of(request), request.headers.get("x-amz-copy-source-if-match")
        if source is None or wanted is None:
            return None
        return refusal(412, "PreconditionFailed")(request) if self.etag(*source) not in {None, wanted} else None

    def _target_condition(self, request: Request) -> Reply | None:
        absent, wanted = request.headers.get("if-none-match") == "*", request.headers.get("if-match")
        if not is_write(request) or not (absent or wanted):
            return None
        there = self.etag(request.bucket, request.key)
        if wanted and there is None:
            return refusal(404, "NoSuchKey")(request)
        fails = there is not None if absent else there != wanted
        return refusal(412, "PreconditionFailed")(request) if fails else None

    def _own_buckets(self, request: Request, reply: Reply) -> Reply:
        if request.operation != "ListBuckets":
            return reply

        def kept(bucket: re.Match[bytes]) -> bytes:
            return b"" if any(f"<Name>{name}</Name>".encode() in bucket[0] for name in self.elsewhere) else bucket[0]

        return replace(reply, body=re.sub(rb"<Bucket>.*?</Bucket>", kept, reply.body, flags=re.DOTALL))


def source_of(request: Request) -> Source | None:
    """Return what a copy reads, or None if it is no copy."""
    header = request.headers.get("x-amz-copy-source")
    if header is None:
        return None
    path, _, query = header.lstrip("/").partition("?")
    bucket, _, key = path.partition("/")
    return Source(unquote(bucket), unquote(key), parse_qs(query).get("versionId", [None])[0])


def is_write(request: Request) -> bool:
    """Whether the request makes an object: a copy, an upload, or the end of an upload in parts."""
    ends = request.operation == "POST upload" and "uploadId" in request.query
    return ends or request.operation in {"CopyObject", "PUT object"}
