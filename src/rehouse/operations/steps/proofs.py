"""Prove that two objects are the same: by S3's ETags, by whole-object checksums, or by the bytes of both sides.

A copy that is not proven is made again: rehouse never flips an unproven copy. Checksums take two HEADs per document, so they are
read only if a listing does not decide. The storage class and properties of the bucket
(encryption, owner, ACL, Object Lock) are never compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

from rehouse.core.comparing import Comparison, Finding, Proof, compare, compare_checksums, merge, unseen_side
from rehouse.core.copies import is_listing_cheaper
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.lifecycle import Event, Phase
from rehouse.core.model import Fault, ListedObject, Migration, ObjectRef
from rehouse.core.progress import REPORTED_EVERY, Progress
from rehouse.ledger.copies import ExpectedDocument
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Run
from rehouse.operations.steps.survey import head_all, listing
from rehouse.s3.buckets.control import Control
from rehouse.s3.bulk import BulkPlane, Head
from rehouse.s3.faults import translate_errors
from rehouse.s3.object_headers import carried_headers, hidden_metadata
from rehouse.s3.reading import read_object, read_tags


def verify_copies(run: Run) -> Run:
    """Prove the copies that wait for the flip. Copies that are not proven are made again, as often as the run repeats."""
    proofs, dropped = check_copies(run.services, run.migration, run.slug)
    is_again = dropped > 0 and run.is_repeating_copies
    run = replace(run, report=run.report.add(proofs=proofs), is_proven=not is_again)
    if run.phase is not Phase.COPIED:
        return run
    event = Event.MISMATCH_FOUND if is_again else Event.ALL_MATCHED
    return run.advance(event, f"{dropped} copies are not equal to their sources" if dropped else None)


def check_copies(services: Services, migration: Migration, subject: str) -> tuple[Counter[Proof], int]:
    """Compare the waiting copies with the home bucket; return the proofs and how many must be copied again."""
    documents = services.ledger.documents(migration)
    waiting, at_home = documents.count_copies()
    if not waiting:
        return Counter(), 0
    looked = _find_in_listing if is_listing_cheaper(waiting, at_home) else _find_by_heads
    proofs: Counter[Proof] = Counter()
    doubtful: dict[str, Ends] = {}
    dropped: dict[str, Fault] = {}
    for looked_at, (row, target, found) in enumerate(looked(services, migration), start=1):
        comparison = unseen_side(found) if isinstance(found, Fault) else compare(row.expected, found)
        if comparison.finding is Finding.COULD_NOT_CHECK and isinstance(found, ListedObject):
            doubtful[row.document_id] = ends_of(row, target, found)
        else:
            _sort_comparison(row.document_id, comparison, proofs, dropped)
        if looked_at % REPORTED_EVERY == 0:
            services.report(Progress(subject, "verify", looked_at, waiting))
    services.stop_here()
    for document_id, comparison in compare_by_checksum(services.bulk, list(doubtful.values())).items():
        _sort_comparison(document_id, comparison, proofs, dropped)
    for document_id, fault in dropped.items():
        documents.drop_copy(document_id, fault)
    return proofs, len(dropped)


def _sort_comparison(
    document_id: str, comparison: Comparison, proofs: Counter[Proof], dropped: dict[str, Fault]
) -> None:
    if comparison.finding is Finding.SAME and comparison.proof:
        proofs[comparison.proof] += 1
    else:
        dropped[document_id] = comparison.fault or Fault("Mismatch", comparison.detail)


def _find_in_listing(
    services: Services, migration: Migration
) -> Iterator[tuple[ExpectedDocument, ObjectRef, ListedObject | None]]:
    copies = services.ledger.documents(migration).waiting_copies()
    for key, rows, found in merge(copies, listing(services, migration.home_bucket)):
        for row in rows:
            yield row, ObjectRef(migration.home_bucket, key), found


def _find_by_heads(
    services: Services, migration: Migration
) -> Iterator[tuple[ExpectedDocument, ObjectRef, ListedObject | Fault | None]]:
    """Find the copies by HEADs, for few copies in a large bucket. If a HEAD fails, its document is copied again."""
    copies = [
        (row, ObjectRef(migration.home_bucket, key))
        for key, row in services.ledger.documents(migration).waiting_copies()
    ]
    found, faults = head_all(services, {target for _, target in copies})
    for row, target in copies:
        yield row, target, faults.get(target) or found.get(target)


class Ends(NamedTuple):
    """A document's object at both ends, each with the ETag that it must still have."""

    document_id: str
    source: ObjectRef
    source_etag: str | None
    target: ObjectRef
    target_etag: str


def ends_of(row: ExpectedDocument, target: ObjectRef, found: ListedObject) -> Ends:
    """Return both ends of a document that has a source."""
    assert row.source is not None
    return Ends(row.document_id, row.source, row.expected.source_etag, target, found.etag)


def compare_by_checksum(bulk: BulkPlane, doubtful: Sequence[Ends]) -> dict[str, Comparison]:
    """Return the comparison of each document. Without the same kind of checksum on both sides it is `could not check`.

    It is the same if S3 gave no answer for one side; then the comparison has the fault.
    """
    refs = {ref for ends in doubtful for ref in (ends.source, ends.target)}
    heads = {head.ref: head for head in bulk.head(sorted(refs, key=str), with_checksums=True)} if refs else {}
    return {ends.document_id: _compare_heads(ends, heads) for ends in doubtful}


def _compare_heads(ends: Ends, heads: Mapping[ObjectRef, Head]) -> Comparison:
    source, target = heads.get(ends.source), heads.get(ends.target)
    fault = next((head.fault for head in (source, target) if head and head.fault), None)
    if fault:
        return unseen_side(fault)
    if not (_is_still(source, ends.source_etag) and _is_still(target, ends.target_etag)):
        return Comparison(Finding.COULD_NOT_CHECK, detail="one side changed or was deleted")
    assert source
    assert target
    agree = compare_checksums(dict(source.checksums), dict(target.checksums))
    if agree is None:
        return Comparison(
            Finding.COULD_NOT_CHECK, detail="the two sides have no checksum of the same kind; --deep compares the bytes"
        )
    if agree:
        return Comparison(Finding.SAME, Proof.CHECKSUM)
    return Comparison(Finding.DIFFERENT, detail="the checksums differ")


def _is_still(head: Head | None, etag: str | None) -> bool:
    return head is not None and head.object is not None and head.object.etag == etag


NO_TAGS = "object tags (there are none to compare)"
HIDDEN = "metadata that S3 does not show"
READERS = 8


class DeepReader:
    """Reads and compares both sides. Then `read_bytes` is how much was read, and `are_tags_offered` whether S3 offers tags."""

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
            with translate_errors(ends.target.key):
                (source, source_bytes), (target, target_bytes) = self._read(ends.source), self._read(ends.target)
        except (StorageRefused, StorageUnavailable) as error:
            return ends.document_id, Comparison(Finding.COULD_NOT_CHECK, detail=error.message), 0
        return ends.document_id, compare_sides(source, target), source_bytes + target_bytes

    def _read(self, ref: ObjectRef) -> tuple[dict[str, object], int]:
        found = read_object(self._control.client, ref, "sha256", **self._control.owner())
        read: dict[str, object] = {**carried_headers(found.headers), HIDDEN: hidden_metadata(found.headers)}
        return read | {"bytes": found.digest, "tags": self._tags(ref)}, found.size

    def _tags(self, ref: ObjectRef) -> list[tuple[str, str]]:
        tags = read_tags(self._control.client, ref, **self._control.owner()) if self.are_tags_offered else None
        if tags is None:
            self.are_tags_offered = False
        return tags or []


def compare_sides(source: dict[str, object], target: dict[str, object]) -> Comparison:
    """Compare what was read from both sides. If S3 hides metadata, the result is `could not check`."""
    different = sorted(name for name in source.keys() | target.keys() if source.get(name) != target.get(name))
    if different:
        return Comparison(Finding.DIFFERENT, detail=f"differs in {', '.join(different)}")
    if source.get(HIDDEN):
        return Comparison(Finding.COULD_NOT_CHECK, detail=f"S3 does not show {source[HIDDEN]} of its metadata entries")
    return Comparison(Finding.SAME, Proof.BYTES)
