"""Prove the copies that wait for the flip: each is compared with what the home bucket holds now.

A copy that does not hold, or that could not be looked at, goes back to copying: nothing unproven is ever flipped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rehouse.core.comparing import Comparison, Finding, Proof, compare, merge, unseen
from rehouse.core.model import Fault, ListedObject, Migration, ObjectRef
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.core.progress import REPORTED_EVERY, Progress
from rehouse.ledger.documents import AtHome
from rehouse.operations.services import Services
from rehouse.operations.steps.checksums import Ends, compare_by_checksum, ends_of
from rehouse.operations.steps.survey import head_all, listing


def check_copies(services: Services, migration: Migration, subject: str) -> tuple[Counter[Proof], int]:
    """Compare the waiting copies with the home bucket; return the proofs and the number sent back to copying."""
    documents = services.ledger.documents(migration)
    waiting, at_home = documents.count_copies()
    if not waiting:
        return Counter(), 0
    looked = _heads if waiting * LISTED_PER_REQUEST < at_home else _listed
    proofs: Counter[Proof] = Counter()
    doubtful: dict[str, Ends] = {}
    dropped: dict[str, Fault] = {}
    for looked_at, (row, target, found) in enumerate(looked(services, migration), start=1):
        comparison = unseen(found) if isinstance(found, Fault) else compare(row.expected, found)
        if comparison.finding is Finding.COULD_NOT_CHECK and isinstance(found, ListedObject):
            doubtful[row.document_id] = ends_of(row, target, found)
        else:
            _sort(row.document_id, comparison, proofs, dropped)
        if looked_at % REPORTED_EVERY == 0:
            services.report(Progress(subject, "verify", looked_at, waiting))
    services.stop_here()
    for document_id, comparison in compare_by_checksum(services.bulk, list(doubtful.values())).items():
        _sort(document_id, comparison, proofs, dropped)
    for document_id, fault in dropped.items():
        documents.drop_copy(document_id, fault)
    return proofs, len(dropped)


def _sort(document_id: str, comparison: Comparison, proofs: Counter[Proof], dropped: dict[str, Fault]) -> None:
    if comparison.finding is Finding.SAME and comparison.proof:
        proofs[comparison.proof] += 1
    else:
        dropped[document_id] = comparison.fault or Fault("Mismatch", comparison.detail)


def _listed(services: Services, migration: Migration) -> Iterator[tuple[AtHome, ObjectRef, ListedObject | None]]:
    copies = services.ledger.documents(migration).waiting_copies()
    for key, rows, found in merge(copies, listing(services, migration.home_bucket)):
        for row in rows:
            yield row, ObjectRef(migration.home_bucket, key), found


def _heads(services: Services, migration: Migration) -> Iterator[tuple[AtHome, ObjectRef, ListedObject | Fault | None]]:
    """Few copies in a large bucket: a HEAD each. One that fails proves nothing, so its copy goes back to copying."""
    copies = [
        (row, ObjectRef(migration.home_bucket, key))
        for key, row in services.ledger.documents(migration).waiting_copies()
    ]
    found, faults = head_all(services, {target for _, target in copies})
    for row, target in copies:
        yield row, target, faults.get(target) or found.get(target)
