"""The last proof: the bytes of both sides, with content headers, user metadata and tags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.comparing import Comparison, Finding, Proof
from rehouse.core.model import ObjectRef
from rehouse.operations.checksums import Ends
from rehouse.operations.services import Services
from rehouse.s3.faults import translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HEADERS = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Metadata")
READERS = 8
CHUNK_BYTES = 1024 * 1024


def compare_deeply(services: Services, ends: Iterable[Ends]) -> Iterator[tuple[str, Comparison]]:
    """Yield (document id, comparison); a side that cannot be read gives `could not check`."""
    client, owner = services.control.session.client("s3"), services.control.owner()
    with ThreadPoolExecutor(READERS) as pool:
        for document_id, comparison in pool.map(lambda each: (each.document_id, _compare(client, each, owner)), ends):
            services.stop_here()
            yield document_id, comparison


def _compare(client: S3Client, ends: Ends, owner: Any) -> Comparison:
    try:
        source, target = _read(client, ends.source, owner), _read(client, ends.target, owner)
    except (ClientError, BotoCoreError) as error:
        return Comparison(Finding.COULD_NOT_CHECK, detail=translated(error, ends.target.key).message)
    different = [name for name in source if source[name] != target[name]]
    if different:
        return Comparison(Finding.DIFFERENT, detail=f"other {', '.join(different)}")
    return Comparison(Finding.SAME, Proof.BYTES)


def _read(client: S3Client, ref: ObjectRef, owner: Any) -> dict[str, object]:
    answer: dict[str, Any] = dict(client.get_object(Bucket=ref.bucket, Key=ref.key, **owner))
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
        digest.update(chunk)
    tags = client.get_object_tagging(Bucket=ref.bucket, Key=ref.key, **owner).get("TagSet", [])
    read: dict[str, object] = {name: answer.get(name) for name in HEADERS}
    return read | {"bytes": digest.hexdigest(), "tags": sorted((tag["Key"], tag["Value"]) for tag in tags)}
