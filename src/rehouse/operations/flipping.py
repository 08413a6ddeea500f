"""Switch a tenant's home, then flip the pointers of the copies that were verified; whichever way they lead.

New uploads go to the new bucket from the switch on. Each pointer is flipped under its row's lock, compared on the row as
it was copied, with the source's ETag and other tenants' claims on it looked at once more while the lock is held.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from rehouse.core.lifecycle import Phase
from rehouse.core.model import Fault, Migration, ObjectRef, Tenant
from rehouse.core.planning import Reason
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.core.progress import Progress
from rehouse.ledger.documents import Documents, LockedCopy
from rehouse.ledger.refusals import RowsRefused
from rehouse.operations.services import Services
from rehouse.operations.survey import head_all

FLIP_BATCH = 500
"""Rows whose locks are held at once, while their sources are looked at: about a second's requests, and less under --max-rate."""
PASSES = 40
PAUSE_SECONDS = 0.25
"""A row that another transaction holds is left for the next pass: about ten seconds in all, then for the next run."""
LISTED_PAGES = 3
"""A batch's range of keys is listed if it lies within so many pages: they come one after the other, under the locks."""
LISTING_GAIN = 25
"""How many HEADs a page of a listing must save; by S3's prices it costs 12.5 of them."""

CHANGED = Fault("SourceChanged", "the source changed after its copy")
CLAIMED = Fault(Reason.OTHER_TENANTS_OBJECT, "after its copy a row of another tenant pointed to the same object")
GIVEN_AWAY = Fault("TargetChanged", "another document was put onto the key that it was to return to")


@dataclass
class Flips:
    """Pointers flipped, sources that changed or were claimed by another tenant since their copy, rows that refused to be flipped,
    sources that S3 would not tell about, and copies left: these, and the ones whose rows stayed locked.
    """

    flipped: int = 0
    changed: int = 0
    refused: int = 0
    unseen: int = 0
    left: int = 0


def switch_home(services: Services, migration: Migration, tenant: Tenant) -> Migration:
    """Give NULL buckets their name, then switch the tenant's home; return the migration in `cut_over`, as it is if it was."""
    services.keep_locks()
    if migration.phase is not Phase.VERIFIED:
        return migration
    name_null_buckets(services, migration)
    return services.ledger.switch_home(migration, tenant)


def name_null_buckets(services: Services, migration: Migration) -> None:
    """Write the shared bucket's name into the tenant's rows that have a key and no bucket."""
    documents = services.ledger.documents(migration)
    after = services.ledger.patiently(partial(documents.name_null_buckets, None, FLIP_BATCH))
    while after:
        services.stop_here()
        after = services.ledger.patiently(partial(documents.name_null_buckets, after, FLIP_BATCH))


def flip_copies(services: Services, migration: Migration, subject: str) -> Flips:
    """Flip every verified copy whose row and source are as they were copied; return the counts.

    A source that changed, or that another tenant claims by now, sends its document back to copying; a row that moved or went
    makes its copy superseded.
    """
    documents = services.ledger.documents(migration)
    flips = Flips()
    total, _ = documents.count_copies()
    for _ in range(PASSES):
        if total:
            name_null_buckets(services, migration)  # each time: a row that was locked before still has none
            _one_pass(services, documents, flips, subject, total)
        services.ledger.patiently(documents.supersede)
        flips.left = documents.count_copies()[0] if flips.flipped < total else 0
        if flips.left <= flips.unseen:  # S3 was asked again and again already
            break
        time.sleep(PAUSE_SECONDS)
    return flips


def flip_first(services: Services, migration: Migration, count: int) -> Flips:
    """Flip the first `count` copies that can be flipped, in order of id, and no others; return the counts."""
    documents = services.ledger.documents(migration)
    name_null_buckets(services, migration)
    services.keep_locks()
    _, first = _flip_batch(services, documents, None, count)
    return replace(first, left=documents.count_copies()[0])


def _one_pass(services: Services, documents: Documents, flips: Flips, subject: str, total: int) -> None:
    after: str | None = None
    is_over = False
    flips.unseen = 0
    while not is_over:
        services.stop_here()
        services.keep_locks()
        after, some = _flip_batch(services, documents, after, FLIP_BATCH)
        is_over = after is None
        flips.flipped += some.flipped
        flips.changed += some.changed
        flips.refused += some.refused
        flips.unseen += some.unseen
        services.report(Progress(subject, "flip", flips.flipped, total))


def _flip_batch(services: Services, documents: Documents, after: str | None, most: int) -> tuple[str | None, Flips]:
    """Flip the next batch; return the id to go on after (None: it was the last batch) and the counts.

    If a row refuses, the batch is taken once more: now the rows that refuse are found, and the others flipped.
    """
    batch = partial(_flip_locked, services, documents, after, min(most, math.ceil(services.settings.max_rate or most)))
    try:
        return services.ledger.patiently(partial(batch, documents.flip))
    except RowsRefused:
        return services.ledger.patiently(partial(batch, documents.flip_allowed))


def _flip_locked(
    services: Services, documents: Documents, after: str | None, most: int, flip: Callable[[Sequence[str]], int]
) -> tuple[str | None, Flips]:
    with documents.locked_copies(after, most) as locked:
        if not locked:
            return None, Flips()
        now = _etags_now(services, locked)
        others = _etags_of_others(services, documents, locked)
        claimed = documents.claimed_by_others(copy.source for copy in locked)  # last: a claim may be as new as can be
        same, some = [], Flips()
        for copy in locked:
            etag, there = now[copy.source], others.get(copy.target, copy.target_etag)
            fault = next((each for each in (etag, there) if isinstance(each, Fault)), None)
            if copy.source in claimed:
                documents.drop_copy(copy.document_id, CLAIMED)
                some.changed += 1
            elif fault:
                documents.blame(copy.document_id, fault)
                some.unseen += 1
            elif etag == copy.source_etag and there == copy.target_etag:
                same.append(copy.document_id)
            else:
                documents.drop_copy(copy.document_id, CHANGED if etag != copy.source_etag else GIVEN_AWAY)
                some.changed += 1
        some.refused = flip(same) if same else 0
        some.flipped = len(same) - some.refused
        return locked[-1].document_id if len(locked) == most else None, some


def _etags_now(services: Services, locked: Sequence[LockedCopy]) -> Mapping[ObjectRef, str | Fault | None]:
    """Return the ETag of every source as it is now: None where it is gone, the fault where it could not be looked at.

    A batch's range of keys is listed where that takes fewer requests, else there is a HEAD for each.
    """
    etags: dict[ObjectRef, str | Fault | None] = {}
    for bucket in {copy.source.bucket for copy in locked}:
        refs = {copy.source for copy in locked if copy.source.bucket == bucket}
        if _is_listing_cheaper(services, bucket, refs):
            etags |= _listed_etags(services, bucket, refs)
        else:
            etags |= _asked_etags(services, refs)
    return etags


def _etags_of_others(
    services: Services, documents: Documents, locked: Sequence[LockedCopy]
) -> Mapping[ObjectRef, str | Fault | None]:
    """Return the ETags now of the shared objects that rows are to return to and that other rows point to."""
    shared = services.settings.require_shared_buckets()
    back = {copy.target for copy in locked if copy.target.bucket in shared}
    return _asked_etags(services, documents.pointed_at(back))


def _is_listing_cheaper(services: Services, bucket: str, refs: set[ObjectRef]) -> bool:
    worth = min(LISTED_PAGES, len(refs) // LISTING_GAIN) * LISTED_PER_REQUEST
    keys = sorted(ref.key for ref in refs)
    between = services.ledger.inventory().count_range(bucket, keys[0], keys[-1], worth + 1)
    return len(refs) <= between <= worth


def _listed_etags(services: Services, bucket: str, refs: set[ObjectRef]) -> dict[ObjectRef, str | Fault | None]:
    first, *_, last = sorted(refs, key=lambda ref: ref.key)
    etags: dict[ObjectRef, str | Fault | None] = dict.fromkeys(refs)
    for page in services.bulk.list(bucket, after=first.key, through=last.key):
        etags.update({ref: each.etag for each in page if (ref := ObjectRef(bucket, each.key)) in refs})
    services.stop_here()
    del etags[first]  # the listing begins after it
    return etags | _asked_etags(services, {first})


def _asked_etags(services: Services, refs: set[ObjectRef]) -> dict[ObjectRef, str | Fault | None]:
    found, faults = head_all(services, refs)
    return {**faults, **{ref: each.etag if each else None for ref, each in found.items()}}
