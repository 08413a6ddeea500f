"""The last proof: the bytes of both sides, with content headers, user metadata and tags.

What is not compared: the storage class, which the bucket's lifecycle rules change, and what belongs to the bucket
(encryption, owner, ACL, Object Lock). An endpoint without object tags has none to compare.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from rehouse.core.comparing import Comparison, Finding, Proof
from rehouse.core.model import ObjectRef
from rehouse.operations.services import Services
from rehouse.operations.steps.checksums import Ends
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import NOT_OFFERED, translated
from rehouse.s3.object_headers import carried_headers, hidden_metadata

NO_TAGS = "object tags (there are none to compare)"
HIDDEN = "metadata that S3 does not show"
READERS = 8
CHUNK_BYTES = 1024 * 1024


class DeepReader:
    """Reads and compares; afterwards `read_bytes` says how much was read, `are_tags_offered` whether there are tags here."""

    def __init__(self, services: Services) -> None:
        self.read_bytes = 0
        self.are_tags_offered = True
        self._services = services
        self._control: Control = services.control

    def compare(self, ends: Iterable[Ends]) -> Iterator[tuple[str, Comparison]]:
        """Yield (document id, comparison); a side that cannot be read gives `could not check`."""
        with ThreadPoolExecutor(READERS) as pool:
            for document_id, comparison, size in pool.map(self._compare, ends):
                self._services.stop_here()
                self.read_bytes += size
                yield document_id, comparison

    def _compare(self, ends: Ends) -> tuple[str, Comparison, int]:
        try:
            (source, source_bytes), (target, target_bytes) = self._read(ends.source), self._read(ends.target)
        except (ClientError, BotoCoreError) as error:
            detail = translated(error, ends.target.key).message
            return ends.document_id, Comparison(Finding.COULD_NOT_CHECK, detail=detail), 0
        return ends.document_id, compare_sides(source, target), source_bytes + target_bytes

    def _read(self, ref: ObjectRef) -> tuple[dict[str, object], int]:
        place: Any = {"Bucket": ref.bucket, "Key": ref.key, **self._control.owner()}
        answer: Any = self._control.client.get_object(**place)
        digest, size = hashlib.sha256(), 0
        for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
        headers = dict(answer["ResponseMetadata"]["HTTPHeaders"])
        if "ExpiresString" in answer:  # botocore takes a date that is none out of the headers
            headers["expires"] = answer["ExpiresString"]
        read: dict[str, object] = {**carried_headers(headers), HIDDEN: hidden_metadata(headers)}
        return read | {"bytes": digest.hexdigest(), "tags": self._tags(place)}, size

    def _tags(self, place: Any) -> list[tuple[str, str]]:
        if not self.are_tags_offered:
            return []
        try:
            tags = self._control.client.get_object_tagging(**place).get("TagSet", [])
        except ClientError as error:
            if error.response["Error"].get("Code") not in NOT_OFFERED:
                raise
            self.are_tags_offered = False
            return []
        return sorted((tag["Key"], tag["Value"]) for tag in tags)


def compare_sides(source: dict[str, object], target: dict[str, object]) -> Comparison:
    """Compare what was read of both sides; metadata that S3 does not show leaves a doubt."""
    different = sorted(name for name in source.keys() | target.keys() if source.get(name) != target.get(name))
    if different:
        return Comparison(Finding.DIFFERENT, detail=f"other {', '.join(different)}")
    if source.get(HIDDEN):
        return Comparison(Finding.COULD_NOT_CHECK, detail=f"S3 does not show {source[HIDDEN]} of its metadata entries")
    return Comparison(Finding.SAME, Proof.BYTES)
