"""Find out what S3 holds before deciding: by one listing a run if that is cheaper, else by HEADs.

A listing may be out of date. If it does not show an object, rehouse sends a HEAD before it considers the object missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from rehouse.core.archiving import is_archived
from rehouse.core.copies import Places, SurveyedDocument, is_listing_cheaper, may_be_kept_at_home
from rehouse.core.errors import TryAgain
from rehouse.core.model import Fault, ListedObject, ObjectRef
from rehouse.core.naming import key_problem
from rehouse.core.progress import IDLE, Progress
from rehouse.ledger.copies import Documents
from rehouse.operations.services import LeftOut, Services
from rehouse.operations.steps.run import Run

log = logging.getLogger(__name__)

EXAMPLES = 3


def survey_documents(run: Run) -> None:
    """List what the rounds need if that takes fewer requests than HEADs; documents that failed before are checked by HEADs."""
    documents = run.services.ledger.documents(run.migration)
    counts = documents.counts()
    if counts.outside == 0 or run.order.only_failed:
        return
    if not run.is_listed:
        list_for_one_tenant(run.services, documents, counts.outside)
    if is_listing_cheaper(counts.outside, counts.at_home):
        list_home(run.services, run.migration.home_bucket)


def list_shared_buckets(services: Services) -> None:
    """List every shared bucket into the run's inventory, once for all tenants."""
    inventory = services.ledger.inventory()
    for bucket in services.settings.require_shared_buckets():
        inventory.load(bucket, () if bucket in services.settings.dropped_buckets else pages_of(services, bucket))
        services.spellings.listed.add(bucket)
    inventory.mark_contested()
    services.stop_here()


def list_for_one_tenant(services: Services, documents: Documents, outside: int) -> None:
    """List the shared buckets if that takes fewer requests than a HEAD for each of the tenant's `outside` documents there."""
    if is_listing_cheaper(outside, documents.rows_with_key()):
        list_shared_buckets(services)


def list_home(services: Services, home: str) -> None:
    """List a home bucket into the run's inventory. After a crash, objects there that match are adopted."""
    services.ledger.inventory().load(home, pages_of(services, home))
    services.stop_here()


def head_missing_sources(
    services: Services, page: Sequence[SurveyedDocument], places: Places
) -> tuple[list[SurveyedDocument], dict[str, Fault]]:
    """Send a HEAD for every source for which a listing is not enough; return the page with them, and the faults by document.

    A listing is not enough if it does not show the source, or shows an archived source but not whether it is restored.
    """
    untold = [each for each in page if _needs_head(services, each) and _may_be_headed(each, places)]
    return look_at_sources(services, page, untold, places) if untold else (list(page), {})


def look_at_sources(
    services: Services, page: Sequence[SurveyedDocument], wanted: Sequence[SurveyedDocument], places: Places
) -> tuple[list[SurveyedDocument], dict[str, Fault]]:
    """Return the page with the present sources of `wanted`; add the results of HEADs to the inventory."""
    refs = {each.document.id: places.source_of(each.document) for each in wanted}
    found, faults = head_all(services, set(refs.values()))
    contested = record_heads(services, found)
    looked = []
    for each in page:
        ref = refs.get(each.document.id)
        if ref is None or ref in faults:
            looked.append(each)
        else:
            looked.append(replace(each, source=found[ref], contested=each.contested or ref in contested))
    return looked, {document_id: faults[ref] for document_id, ref in refs.items() if ref in faults}


def look_at_targets(
    services: Services, page: Sequence[SurveyedDocument], places: Places
) -> tuple[list[SurveyedDocument], dict[str, Fault]]:
    """Return the page with its present targets, and the HEADs that failed, by document."""
    refs = {each.document.id: places.target_of(each.document, each.recorded) for each in page}
    found, faults = head_all(services, set(refs.values()))
    looked = [
        replace(each, target=found[ref], recorded_now=False) if (ref := refs[each.document.id]) not in faults else each
        for each in page
    ]
    return looked, {document_id: faults[ref] for document_id, ref in refs.items() if ref in faults}


def head_only_copies(
    services: Services, page: Sequence[SurveyedDocument], places: Places
) -> tuple[list[SurveyedDocument], dict[str, Fault]]:
    """Send a HEAD for the home object of every document whose source is missing, because it may be the only one left.

    Return the page with them, and the faults by document.
    """
    wanted = [each for each in page if may_be_kept_at_home(each, places)]
    looked, faults = look_at_targets(services, wanted, places)
    found = {each.document.id: each for each in looked}
    return [found.get(each.document.id, each) for each in page], faults


def set_known_targets(services: Services, page: Sequence[SurveyedDocument], places: Places) -> list[SurveyedDocument]:
    """Return the page with its targets from the listing of the home bucket.

    A line of this run with nothing at its target (S3 gave no answer, so nothing was copied) is not newer than the listing.
    """
    keys = {each.document.id: places.target_of(each.document, each.recorded).key for each in page}
    known = services.ledger.inventory().find_known(places.home, list(keys.values()))
    return [
        replace(each, target=known[key].object, recorded_now=each.recorded_now and _has_copy(each))
        if (key := keys[each.document.id]) in known
        else each
        for each in page
    ]


def _has_copy(each: SurveyedDocument) -> bool:
    return each.recorded is not None and each.recorded.target_etag is not None


def head_all(
    services: Services, refs: set[ObjectRef], *, until: float | None = None
) -> tuple[dict[ObjectRef, ListedObject | None], dict[ObjectRef, Fault]]:
    """Send a HEAD for every ref; return the objects (None: it does not exist) and the faults. Raises if the run was stopped.

    A shared bucket that was removed holds nothing, so no request is sent to it.
    `until` (of the monotonic clock): raises NotInTime instead of repeating a request or waiting longer.
    """
    gone = {ref for ref in refs if ref.bucket in services.settings.dropped_buckets}
    found: dict[ObjectRef, ListedObject | None] = dict.fromkeys(gone)
    faults: dict[ObjectRef, Fault] = {}
    for head in services.bulk.head(sorted(refs - gone, key=lambda ref: (ref.bucket, ref.key)), until=until):
        if head.fault:
            faults[head.ref] = head.fault
        else:
            found[head.ref] = head.object
    services.stop_here()
    if len(found) + len(faults) != len(refs):
        raise TryAgain(
            "S3 did not answer all requests for objects", hint="run the same command again", subject="storage"
        )
    return found, faults


def listing(services: Services, bucket: str) -> Iterator[ListedObject]:
    """Yield the objects of a bucket in order of key. Raises if the listing could not be finished."""
    for page in services.bulk.list(bucket):
        yield from page
    services.stop_here()


def _needs_head(services: Services, each: SurveyedDocument) -> bool:
    return each.source is None or (is_archived(each.source.storage_class) and not services.bulk.lists_restores)


def _may_be_headed(each: SurveyedDocument, places: Places) -> bool:
    source = places.source_of(each.document)
    return source.bucket in places.shared and each.document.key_fault is None and key_problem(source.key) is None


def record_heads(services: Services, found: dict[ObjectRef, ListedObject | None]) -> set[ObjectRef]:
    """Put the results of HEADs into the run's inventory; return the objects to which rows of two tenants point."""
    inventory = services.ledger.inventory()
    contested = set()
    for bucket in {ref.bucket for ref in found}:
        there = {ref.key: each for ref, each in found.items() if ref.bucket == bucket}
        inventory.put(
            bucket,
            [each for each in there.values() if each is not None],
            [key for key, each in there.items() if each is None],
        )
        inventory.mark_contested_among(bucket, list(there))
        contested |= {
            ObjectRef(bucket, key)
            for key, known in inventory.find_known(bucket, list(there)).items()
            if known.contested
        }
    return contested


def pages_of(services: Services, bucket: str) -> Iterator[Sequence[ListedObject]]:
    """Yield the pages of a bucket's listing without the objects whose keys the database cannot hold; no row can point to them.

    `services.left_out` counts these.
    """
    count, left_out = 0, LeftOut()
    services.left_out[bucket] = left_out
    for page in services.bulk.list(bucket):
        kept = [found for found in page if services.ledger.holds(found.key)]
        if len(kept) < len(page):
            _count_left_out(left_out, [found for found in page if not services.ledger.holds(found.key)])
        yield kept
        count += len(page)
        services.report(Progress(subject=bucket, step="list", documents=count))
    services.report(Progress(bucket, IDLE))
    services.stop_here()
    if left_out.objects:
        log.warning("%s: the database cannot hold the keys of %d objects", bucket, left_out.objects)


def _count_left_out(left_out: LeftOut, found: Sequence[ListedObject]) -> None:
    left_out.objects += len(found)
    left_out.size += sum(each.size for each in found)
    left_out.examples += [each.key for each in found][: EXAMPLES - len(left_out.examples)]
