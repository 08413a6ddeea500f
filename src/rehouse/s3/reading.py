"""Read an object completely, as an application would: a digest of its bytes, its headers and its tags. Also set tags."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from botocore.exceptions import ClientError

from rehouse.core.model import ObjectRef
from rehouse.s3.faults import NOT_OFFERED

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CHUNK_BYTES = 1024 * 1024


class ReadObject(NamedTuple):
    """An object that was read: `size` of the `announced_size` bytes arrived.

    `digest` is their hexadecimal digest.
    """

    digest: str
    size: int
    announced_size: int
    etag: str
    encryption: str
    headers: Mapping[str, str]


def read_object(client: S3Client, ref: ObjectRef, algorithm: Literal["md5", "sha256"], **owner: str) -> ReadObject:
    """Read an object to the end. Raises boto3's errors."""
    arguments: Any = {"Bucket": ref.bucket, "Key": ref.key, **owner}
    answer: Any = client.get_object(**arguments)
    digest, size = hashlib.new(algorithm, usedforsecurity=False), 0
    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    headers = dict(answer["ResponseMetadata"]["HTTPHeaders"])
    if "ExpiresString" in answer:  # botocore drops an Expires header that is not a date
        headers["expires"] = answer["ExpiresString"]
    etag = answer.get("ETag", "").strip('"')
    encryption = str(answer.get("ServerSideEncryption", ""))
    return ReadObject(digest.hexdigest(), size, answer["ContentLength"], etag, encryption, headers)


def read_tags(client: S3Client, ref: ObjectRef, **owner: str) -> list[tuple[str, str]] | None:
    """Return an object's tags, sorted.

    None if the endpoint does not offer tags. Raises boto3's errors.
    """
    arguments: Any = {"Bucket": ref.bucket, "Key": ref.key, **owner}
    try:
        tags = client.get_object_tagging(**arguments).get("TagSet", [])
    except ClientError as error:
        if error.response["Error"].get("Code") not in NOT_OFFERED:
            raise
        return None
    return sorted((tag["Key"], tag["Value"]) for tag in tags)


def put_tags(client: S3Client, ref: ObjectRef, tags: list[tuple[str, str]], **owner: str) -> None:
    """Replace an object's tags. Raises boto3's errors."""
    version = {"VersionId": ref.version} if ref.version else {}
    tagging = {"TagSet": [{"Key": key, "Value": value} for key, value in tags]}
    arguments: Any = {"Bucket": ref.bucket, "Key": ref.key, **version, **owner, "Tagging": tagging}
    client.put_object_tagging(**arguments)
