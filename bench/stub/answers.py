"""The bytes of the answers: status line, the headers that clients read, and S3's XML."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

from bench.stub.storage import Stored

REASONS = {
    404: "Not Found",
    409: "Conflict",
    412: "Precondition Failed",
    501: "Not Implemented",
    503: "Slow Down",
}
ABSENT = {
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "ownershipControls": "OwnershipControlsNotFoundError",
    "policy": "NoSuchBucketPolicy",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "cors": "NoSuchCORSConfiguration",
    "tagging": "NoSuchTagSet",
    "metrics": "NoSuchConfiguration",
}
EMPTY = {"versioning": b"<VersioningConfiguration/>", "logging": b"<BucketLoggingStatus/>"}
LAST_MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"


def xml(body: bytes, headers: str = "", status: str = "200 OK") -> bytes:
    """Return an answer with a body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def error(status: int, code: str, *, with_body: bool = True) -> bytes:
    """Return S3's answer for an error; a HEAD gets no body."""
    body = f"<Error><Code>{code}</Code><Message>{code}</Message><RequestId>stub</RequestId></Error>".encode()
    return xml(body if with_body else b"", status=f"{status} {REASONS[status]}")


def absent(setting: str) -> bytes:
    """Return what S3 says of a setting that a bucket does not have."""
    if setting in EMPTY:
        return xml(EMPTY[setting])
    return error(404, ABSENT[setting]) if setting in ABSENT else error(501, "NotImplemented")


def copied(etag: str) -> bytes:
    """Return the answer to a CopyObject."""
    return xml(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<CopyObjectResult><LastModified>2025-01-01T00:00:00.000Z'
        f"</LastModified><ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>".encode()
    )


def deleted(codes: Mapping[str, str | None]) -> bytes:
    """Return the answer to a DeleteObjects: the key of each object, with the code where it stays."""
    lines = [
        f"<Error><Key>{escape(key)}</Key><Code>{code}</Code><Message>{code}</Message></Error>"
        if code
        else f"<Deleted><Key>{escape(key)}</Key></Deleted>"
        for key, code in codes.items()
    ]
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    return xml(f'<DeleteResult xmlns="{space}">{"".join(lines)}</DeleteResult>'.encode())


def found(stored: Stored) -> bytes:
    """Return the answer to a HEAD on an object."""
    return (
        f'HTTP/1.1 200 OK\r\nETag: "{stored.etag}"\r\nContent-Length: {stored.size}\r\n'
        f"Last-Modified: {LAST_MODIFIED}\r\nAccept-Ranges: bytes\r\nContent-Type: application/pdf\r\n\r\n"
    ).encode()


def bucket_found() -> bytes:
    """Return the answer to a HEAD on a bucket."""
    return xml(b"", "x-amz-bucket-region: us-east-1\r\n")


def location() -> bytes:
    """Return the answer to GetBucketLocation in us-east-1."""
    return xml(b'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>')


def identity() -> bytes:
    """Return the answer to GetCallerIdentity."""
    return xml(
        b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        b"<Arn>arn:aws:iam::000000000000:user/bench</Arn><UserId>BENCH</UserId><Account>000000000000</Account>"
        b"</GetCallerIdentityResult></GetCallerIdentityResponse>"
    )


def tags_of_creation(body: bytes) -> bytes | None:
    """Return the tags of a CreateBucket's body as GetBucketTagging answers them, or None if it has none."""
    begin, end = body.find(b"<Tags>"), body.rfind(b"</Tags>")
    if begin < 0:
        return None
    return b"<Tagging><TagSet>" + body[begin + len(b"<Tags>") : end] + b"</TagSet></Tagging>"


def listed(bucket: str, prefix: str, page: list[tuple[str, Stored]], *, more: bool, encoded: bool) -> bytes:
    """Return one page of ListObjectsV2; the last key is the next page's token."""
    written = (lambda key: quote(key, safe="/")) if encoded else escape
    entries = "".join(
        f"<Contents><Key>{written(key)}</Key><LastModified>{stored.modified}</LastModified>"
        f"<ETag>&quot;{stored.etag}&quot;</ETag><Size>{stored.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for key, stored in page
    )
    token = f"<NextContinuationToken>{escape(page[-1][0])}</NextContinuationToken>" if more and page else ""
    return xml(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{written(prefix)}</Prefix><KeyCount>{len(page)}</KeyCount>"
        f"<MaxKeys>1000</MaxKeys>{'<EncodingType>url</EncodingType>' if encoded else ''}"
        f"<IsTruncated>{'true' if more and page else 'false'}</IsTruncated>{token}{entries}</ListBucketResult>".encode()
    )
