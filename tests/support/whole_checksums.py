"""What S3 knows of checksums over whole objects and no local server does: HEAD tells a CRC64NVME, an upload's end is held to it.

The server never hears of them (it misses a checksum with each part that was copied): such a request goes on without them, as
root's, whose signature it does not check. A value at the end counts only if the algorithm was named when the upload was begun.
Source: "Checking object integrity for data uploads in Amazon S3", the S3 User Guide.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from functools import cache
from hashlib import md5

from tests.support.faults import refusal
from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import Source, StrictRelay, source_of

HEADER = "x-amz-checksum-crc64nvme"
ALL_BITS = 0xFFFFFFFFFFFFFFFF
POLYNOMIAL = 0x9A6C9329AC4BC9B5
"""NVM Express's polynomial 0xAD93D23594C93659, its bits reversed."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ POLYNOMIAL * (byte & 1)
    return byte


TABLE = [_remainder(byte) for byte in range(256)]


@cache
def crc64nvme(body: bytes) -> str:
    """Return the checksum as S3 writes it, in base64.

    >>> base64.b64decode(crc64nvme(b"123456789")).hex()
    'ae8b14860a799888'
    """
    value = ALL_BITS
    for byte in body:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return base64.b64encode((value ^ ALL_BITS).to_bytes(8, "big")).decode()


class WholeChecksums:
    """The rules, laid on a relay."""

    def __init__(self, relay: StrictRelay) -> None:
        self._relay = relay
        self._sources: dict[str, Source] = {}
        self._named: set[str] = set()
        relay.rules.append(self._rule)
        relay.endings.append(self._told_by_head)

    def _rule(self, request: Request) -> Reply | None:
        upload = request.query.get("uploadId", [""])[0]
        if request.operation == "UploadPartCopy":
            self._sources[upload] = source_of(request)
        if request.operation != "POST upload":
            return None
        if "uploads" in request.query and request.headers.get("x-amz-checksum-type") == "FULL_OBJECT":
            return self._begun(request)
        if upload in self._named and HEADER in request.headers:
            return self._completed(request, upload)
        return None

    def _begun(self, request: Request) -> Reply:
        reply = self._relay.ask(_without_checksums(request))
        self._named |= {found.decode() for found in re.findall(rb"<UploadId>([^<]+)</UploadId>", reply.body)}
        return reply

    def _completed(self, request: Request, upload: str) -> Reply:
        value = request.headers[HEADER]
        if value != self._checksum_of_parts(request, upload):
            return refusal(400, "BadDigest")(request)
        reply = self._relay.ask(_without_checksums(request))
        end = b"</CompleteMultipartUploadResult>"
        told = f"<ChecksumCRC64NVME>{value}</ChecksumCRC64NVME><ChecksumType>FULL_OBJECT</ChecksumType>".encode()
        return replace(reply, body=reply.body.replace(end, told + end))

    def _checksum_of_parts(self, request: Request, upload: str) -> str | None:
        """Return the checksum of the parts as they are stored; None if they are not the source's bytes: then it is another."""
        body, at = self._body(*self._sources[upload]), 0
        parts = self._relay.root.list_parts(Bucket=request.bucket, Key=request.key, UploadId=upload)["Parts"]
        for part in sorted(parts, key=lambda part: part["PartNumber"]):
            stored = md5(body[at : at + part["Size"]], usedforsecurity=False).hexdigest()
            if stored != part["ETag"].strip('"'):
                return None
            at += part["Size"]
        return crc64nvme(body) if at == len(body) else None

    def _told_by_head(self, request: Request, reply: Reply) -> Reply:
        asked = request.operation == "HEAD object" and request.headers.get("x-amz-checksum-mode") == "ENABLED"
        if not asked or reply.status != 200:
            return reply
        body = self._body(request.bucket, request.key, request.query.get("versionId", [None])[0])
        kept = [each for each in reply.headers if not each[0].lower().startswith("x-amz-checksum-")]
        told = ((HEADER, crc64nvme(body)), ("x-amz-checksum-type", "FULL_OBJECT"))
        return replace(reply, headers=(*kept, *told))

    def _body(self, bucket: str, key: str, version: str | None) -> bytes:
        which = {"VersionId": version} if version else {}
        return self._relay.root.get_object(Bucket=bucket, Key=key, **which)["Body"].read()


def _without_checksums(request: Request) -> Request:
    head = re.sub(rb"(?mi)^x-amz-(sdk-)?checksum-[^\n]*\n", b"", request.head)
    return Request(re.sub(rb"Credential=[^/]+/", b"Credential=test/", head), request.body)
