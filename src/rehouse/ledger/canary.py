"""The documents that a canary reads: copies before the home is switched, rows after it."""

from __future__ import annotations

from typing import NamedTuple

from rehouse.core.model import ObjectRef
from rehouse.ledger.run_scope import Fenced


class Sample(NamedTuple):
    """A document to be read in full: where, and what it must be (bytes)."""

    document_id: str
    place: ObjectRef
    etag: str
    size: int


class Canaries(Fenced):
    """What there is to try of one tenant's migration."""

    def copies(self, count: int) -> list[Sample]:
        """Return at most `count` copies that wait for the flip, in order of id."""
        return [_sample(row) for row in self.rows("canary_copies", count=count)]

    def rows_flipped(self, count: int) -> list[Sample]:
        """Return at most `count` documents that this run flipped and whose rows still point there, the last ones first."""
        return [_sample(row) for row in self.rows("canary_rows", count=count)]


def _sample(row: tuple[object, ...]) -> Sample:
    document_id, bucket, key, etag, size = row
    return Sample(str(document_id), ObjectRef(str(bucket), str(key)), str(etag), int(str(size)))
