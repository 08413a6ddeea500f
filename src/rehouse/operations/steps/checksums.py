"""The proof by checksum: where ETags cannot be compared, HEADs of both ends show what S3 computed over the whole object.

Two HEADs a document, so it is asked for only where a listing leaves a doubt: ETags that differ, of an object that no copy of this
ledger is known to have made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rehouse.core.comparing import Comparison, Finding, Proof, compare_checksums, unseen
from rehouse.core.model import ListedObject, ObjectRef
from rehouse.ledger.documents import AtHome
from rehouse.s3.bulk import BulkPlane, Head


class Ends(NamedTuple):
    """A document's object at both ends, each with the ETag that it must still have."""

    document_id: str
    source: ObjectRef
    source_etag: str | None
    target: ObjectRef
    target_etag: str


def ends_of(row: AtHome, target: ObjectRef, found: ListedObject) -> Ends:
    """Return both ends of a document that has a source."""
    assert row.source is not None
    return Ends(row.document_id, row.source, row.expected.source_etag, target, found.etag)


def compare_by_checksum(bulk: BulkPlane, doubtful: Sequence[Ends]) -> dict[str, Comparison]:
    """Return the comparison of each document; without a checksum of one kind on both sides it stays `could not check`.

    So does one of which S3 would not tell about a side: then the comparison has the fault.
    """
    refs = {ref for ends in doubtful for ref in (ends.source, ends.target)}
    heads = {head.ref: head for head in bulk.head(sorted(refs, key=str), with_checksums=True)} if refs else {}
    return {ends.document_id: _compared(ends, heads) for ends in doubtful}


def _compared(ends: Ends, heads: Mapping[ObjectRef, Head]) -> Comparison:
    source, target = heads.get(ends.source), heads.get(ends.target)
    fault = next((head.fault for head in (source, target) if head and head.fault), None)
    if fault:
        return unseen(fault)
    if not (_is_still(source, ends.source_etag) and _is_still(target, ends.target_etag)):
        return Comparison(Finding.COULD_NOT_CHECK, detail="one side changed, or went")
    assert source
    assert target
    agree = compare_checksums(dict(source.checksums), dict(target.checksums))
    if agree is None:
        return Comparison(
            Finding.COULD_NOT_CHECK, detail="no checksum of one kind on both sides; --deep compares the bytes"
        )
    if agree:
        return Comparison(Finding.SAME, Proof.CHECKSUM)
    return Comparison(Finding.DIFFERENT, detail="the checksums differ")


def _is_still(head: Head | None, etag: str | None) -> bool:
    return head is not None and head.object is not None and head.object.etag == etag
