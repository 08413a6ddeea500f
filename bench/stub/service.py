"""The S3 (and STS) operations that a migration uses, over `storage.py`; every request is counted by its kind."""

from __future__ import annotations

import json
import resource
import time
from collections import Counter
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

from bench.stub import answers
from bench.stub.allowance import Allowance, Unlimited
from bench.stub.server import Asked
from bench.stub.storage import SHARED, Bucket, Made, Storage, Stored, now

STATISTICS = "_stub"
LISTED_AT_ONCE = 1000


class Service:
    """Answers requests; requests on objects have to pass the allowance."""

    def __init__(self, storage: Storage, allowance: Allowance | Unlimited) -> None:
        self._storage = storage
        self._allowance = allowance
        self.requests: Counter[str] = Counter()

    def answer(self, asked: Asked) -> bytes:
        """Return the whole answer, headers included."""
        path, _, query = asked.target.partition("?")
        name, _, encoded_key = path[1:].partition("/")
        if not name:
            self.requests["identity" if asked.method == "POST" else "list_buckets"] += 1
            return answers.identity() if asked.method == "POST" else answers.error(501, "NotImplemented")
        if name == STATISTICS and encoded_key:
            rate = float(encoded_key.rpartition("/")[2])
            self._allowance = Allowance(rate) if rate else Unlimited()
            return answers.xml(b"")
        if name == STATISTICS:
            return answers.xml(json.dumps(self._statistics()).encode())
        if encoded_key:
            return self._on_object(asked, name, unquote(encoded_key))
        return self._on_bucket(asked, name, dict(parse_qsl(query, keep_blank_values=True)))

    def _on_object(self, asked: Asked, name: str, key: str) -> bytes:
        operation = {"PUT": self._copy, "HEAD": self._head}.get(asked.method)
        if operation is None:
            return answers.error(501, "NotImplemented")
        self.requests[operation.__name__.strip("_")] += 1
        if not self._allowance.allows():
            return answers.error(503, "SlowDown", with_body=asked.method != "HEAD")
        bucket = self._storage.buckets.get(name)
        if bucket is None:
            return answers.error(404, "NoSuchBucket", with_body=asked.method != "HEAD")
        return operation(bucket, key, asked.headers)

    def _copy(self, bucket: Bucket | Made, key: str, headers: dict[str, str]) -> bytes:
        source_bucket, _, source_key = unquote(headers.get("x-amz-copy-source", "").lstrip("/")).partition("/")
        source = self._storage.buckets.get(source_bucket)
        stored = source.get(source_key) if source else None
        if stored is None:
            return answers.error(404, "NoSuchKey")
        there = bucket.get(key)
        if not _holds(headers, stored, there):
            return answers.error(412, "PreconditionFailed")
        bucket.put(key, Stored(stored.etag, stored.size, now()))
        return answers.copied(stored.etag)

    def _head(self, bucket: Bucket | Made, key: str, headers: dict[str, str]) -> bytes:
        stored = bucket.get(key)
        return answers.found(stored) if stored else answers.error(404, "NoSuchKey", with_body=False)

    def _on_bucket(self, asked: Asked, name: str, query: dict[str, str]) -> bytes:
        bucket = self._storage.buckets.get(name)
        if asked.method == "PUT" and not query:
            return self._create(name, asked.body)
        if bucket is None:
            return answers.error(404, "NoSuchBucket", with_body=asked.method != "HEAD")
        if asked.method == "POST" and "delete" in query:
            self.requests["delete"] += 1
            return answers.deleted(_removed(bucket, asked.body))
        if asked.method == "HEAD":
            self.requests["head_bucket"] += 1
            return answers.bucket_found()
        if "list-type" in query:
            begins = name == SHARED and not query.keys() & {"continuation-token", "start-after"}
            self.requests["list_shared_begun" if begins else "list"] += 1
            return _listed(bucket, name, query)
        if "location" in query:
            self.requests["location"] += 1
            return answers.location()
        return self._configuration(asked, bucket, next(iter(query), ""))

    def _create(self, name: str, body: bytes) -> bytes:
        self.requests["create_bucket"] += 1
        if not self._storage.create(name):
            return answers.error(409, "BucketAlreadyOwnedByYou")
        tags = answers.tags_of_creation(body)
        if tags:
            self._storage.buckets[name].configuration["tagging"] = tags
        return answers.xml(b"")

    def _configuration(self, asked: Asked, bucket: Bucket | Made, setting: str) -> bytes:
        if asked.method == "PUT":
            self.requests["put_setting"] += 1
            bucket.configuration[setting] = asked.body
            bucket.configured_at = time.monotonic()
            return answers.xml(b"")
        self.requests["get_setting"] += 1
        body = bucket.configuration.get(setting)
        return answers.xml(body) if body is not None else answers.absent(setting)

    def _statistics(self) -> dict[str, object]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "requests": dict(self.requests),
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "provisioned_at_once": self._storage.provisioned_at_once(),
            "history": {str(second): counts for second, counts in self._allowance.history.items()},
        }


def _removed(bucket: Bucket | Made, body: bytes) -> dict[str, str | None]:
    """Remove what a DeleteObjects names, each on its condition; return the code of each that was refused."""
    codes: dict[str, str | None] = {}
    for entry in ElementTree.fromstring(body).iter():
        if entry.tag.rpartition("}")[2] != "Object":
            continue
        fields = {child.tag.rpartition("}")[2]: child.text or "" for child in entry}
        key, wanted = fields["Key"], fields.get("ETag", "").strip('"')
        there = bucket.get(key)
        if there is None:
            codes[key] = "NoSuchKey" if wanted else None
        elif wanted and wanted != there.etag:
            codes[key] = "PreconditionFailed"
        else:
            bucket.remove(key)
            codes[key] = None
    return codes


def _holds(headers: dict[str, str], source: Stored, there: Stored | None) -> bool:
    wanted = headers.get("x-amz-copy-source-if-match")
    if wanted and wanted.strip('"') != source.etag:
        return False
    if headers.get("if-none-match") == "*" and there is not None:
        return False
    replaced = headers.get("if-match")
    return replaced is None or (there is not None and replaced.strip('"') == there.etag)


def _listed(bucket: Bucket | Made, name: str, query: dict[str, str]) -> bytes:
    prefix, after = query.get("prefix", ""), query.get("continuation-token") or query.get("start-after", "")
    limit = min(LISTED_AT_ONCE, int(query.get("max-keys", LISTED_AT_ONCE)))
    page, more = bucket.page(prefix, after, limit)
    return answers.listed(name, prefix, page, more=more, encoded=query.get("encoding-type") == "url")
