"""The requests of the bulk plane (copy, HEAD, list) as data.

Building a request is pure. An empty key would address the bucket itself, and a bucket name with a slash another bucket. Both
raise ValueError, which the callers turn into a fault of that object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from rehouse.core.archiving import class_of_copy
from rehouse.core.model import CopyTask, Fault, ObjectRef
from rehouse.s3.bulk.replies import Reply
from rehouse.s3.bulk.signing import UNSENDABLE, query_string, quote_key
from rehouse.s3.endpoint import Endpoint, check_bucket_name

T = TypeVar("T")

SECONDS = 60
BYTES_A_SECOND = 20_000_000  # a slow server-side copy: about 5 minutes for 5 GiB
PAGE = 1000


@dataclass(slots=True, eq=False)
class Request(Generic[T]):
    """One request, with its state over all attempts.

    `read` returns None for an incomplete reply, and a Fault for a complete reply that cannot be used. `subject` names the object
    or bucket in errors. `context` belongs to the caller. `seconds`: the time limit of one attempt. `waits`: how often the request
    was retried because a bucket is new.
    """

    kind: str
    method: str
    endpoint: Endpoint
    path: str
    query: str
    headers: dict[str, str]
    subject: str
    read: Callable[[Reply], T | Fault | None]
    context: object = None
    seconds: int = SECONDS
    attempts: int = 0
    waits: int = 0
    refreshed: bool = False

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that the request names."""
        source = (self.context.source.bucket,) if isinstance(self.context, CopyTask) else ()
        return (self.endpoint.bucket, *source)


def copy_headers(task: CopyTask, owner: str | None, *, guarded: bool) -> dict[str, str]:
    """Return the headers of a CopyObject, which keeps metadata and tags.

    `guarded`: with the condition on the target.
    """
    headers = {
        "content-length": "0",
        "x-amz-copy-source": copy_source(task.source),
        "x-amz-copy-source-if-match": f'"{task.source_etag}"',
    }
    if guarded and task.replaces_etag is None:
        headers["if-none-match"] = "*"
    elif guarded:
        headers["if-match"] = f'"{task.replaces_etag}"'
    if storage_class := class_of_copy(task.storage_class):
        headers["x-amz-storage-class"] = storage_class
    if owner is not None:
        headers["x-amz-expected-bucket-owner"] = headers["x-amz-source-expected-bucket-owner"] = owner
    said = f"{task.source_etag}{task.replaces_etag}{task.storage_class}"
    if UNSENDABLE.search(said) or not said.isascii():
        raise ValueError("an ETag or a storage class holds a line break, a zero byte or a letter outside ASCII")
    return headers


def copy_source(ref: ObjectRef) -> str:
    """Return the `x-amz-copy-source` of an object: `/bucket/key`, encoded, and its version if there is one."""
    source = f"/{check_bucket_name(ref.bucket)}/{key_path(ref.key)}"
    return f"{source}?{version_query(ref)}" if ref.version else source


def key_path(key: str) -> str:
    """Return the key encoded for a path.

    Raises ValueError for a key that no object can have.
    """
    if not key:
        raise ValueError("an object's key cannot be empty")
    return quote_key(key)


def version_query(ref: ObjectRef) -> str:
    """Return the query that names the version, or an empty text."""
    return query_string([("versionId", ref.version)]) if ref.version else ""


def list_query(prefix: str, after: str, token: str | None, most: int = PAGE) -> str:
    """Return the query of one ListObjectsV2 page of at most `most` keys.

    It asks for URL-encoded keys.
    """
    parameters = [("list-type", "2"), ("encoding-type", "url"), ("max-keys", str(most))]
    if prefix:
        parameters.append(("prefix", prefix))
    if token is not None:
        parameters.append(("continuation-token", token))
    elif after:
        parameters.append(("start-after", after))
    return query_string(parameters)


def copy_seconds(size: int) -> int:
    """Return how many seconds a copy of `size` bytes may take."""
    return SECONDS + size // BYTES_A_SECOND


def object_name(ref: ObjectRef) -> str:
    """Return an object's name for messages."""
    return f"s3://{ref.bucket}/{ref.key}"
