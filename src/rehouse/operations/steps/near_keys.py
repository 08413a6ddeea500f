"""For a missing object, find an object that no row points to and whose key is another spelling of the row's key.

It searches the run's listing. If nothing was listed, it sends a few HEADs per document, and a limited number per tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from rehouse.core.copies import Places, SurveyedDocument
from rehouse.core.model import Fault, ObjectRef
from rehouse.core.near_keys import common_prefixes, other_spellings
from rehouse.operations.services import Services
from rehouse.operations.steps.survey import head_all

LOOKED_UP_AT_ONCE = 10_000
SAMPLE = 20
"""How many missing keys to use to find a prefix that the application puts in front of its keys."""
SCANS = 3
"""How often a run searches a bucket for such a prefix. Each search reads the bucket's inventory once."""
HEADS_A_DOCUMENT = 5
HEADS_A_TENANT = 50


def name_near_objects(
    services: Services, page: Sequence[SurveyedDocument], places: Places, faults: Mapping[str, Fault]
) -> list[SurveyedDocument]:
    """Return the page with `near` set for each missing object that has an object with another spelling.

    `faults`: the documents for whose objects S3 gave no answer, so that they are not known to be missing.
    """
    near: dict[str, str] = {}
    missing = [each for each in page if each.source is None and _can_be_misspelled(each, places)]
    missing = [each for each in missing if each.document.id not in faults]
    for bucket in {places.source_of(each.document).bucket for each in missing}:
        keys = {
            each.document.id: ref.key for each in missing if (ref := places.source_of(each.document)).bucket == bucket
        }
        is_listed = bucket in services.spellings.listed
        near |= (
            _find_in_listing(services, bucket, keys) if is_listed else _find_by_heads(services, bucket, keys, places)
        )
    return [replace(each, near=near[each.document.id]) if each.document.id in near else each for each in page]


def _can_be_misspelled(each: SurveyedDocument, places: Places) -> bool:
    return places.source_of(each.document).bucket in places.shared and each.document.key_fault is None


def _find_in_listing(services: Services, bucket: str, keys: Mapping[str, str]) -> dict[str, str]:
    found = _look_up(services, bucket, keys)
    unexplained = {document_id: key for document_id, key in keys.items() if document_id not in found}
    if unexplained and services.spellings.scans[bucket] < SCANS:
        services.spellings.scans[bucket] += 1
        sample = list(islice(unexplained.values(), SAMPLE))
        pairs = services.ledger.inventory().find_by_ending(bucket, sample, SAMPLE * SAMPLE)
        prefixes = common_prefixes(pairs)
        if prefixes:
            services.spellings.prefixes[bucket] = prefixes
            found |= _look_up(services, bucket, unexplained)
    return found


def _look_up(services: Services, bucket: str, keys: Mapping[str, str]) -> dict[str, str]:
    spellings = _spellings(services, bucket, keys)
    inventory = services.ledger.inventory()
    there = {
        key
        for batch in _batches({key for each in spellings.values() for key in each})
        for key in inventory.find_known(bucket, batch)
    }
    return _pick_unclaimed(services, bucket, spellings, there)


def _find_by_heads(services: Services, bucket: str, keys: Mapping[str, str], places: Places) -> dict[str, str]:
    told = services.spellings.asked.setdefault(places.home, {})
    few = {document_id: known[:HEADS_A_DOCUMENT] for document_id, known in _spellings(services, bucket, keys).items()}
    wanted = [ref for known in few.values() for key in known if (ref := ObjectRef(bucket, key)) not in told]
    found, faults = head_all(services, set(wanted[: max(HEADS_A_TENANT - len(told), 0)]))
    told |= {ref: there is not None for ref, there in found.items()} | dict.fromkeys(faults, False)
    return _pick_unclaimed(
        services, bucket, few, {ref.key for ref, is_there in told.items() if is_there and ref.bucket == bucket}
    )


def _spellings(services: Services, bucket: str, keys: Mapping[str, str]) -> dict[str, Sequence[str]]:
    shared, prefixes = services.settings.require_shared_buckets(), services.spellings.prefixes.get(bucket, ())
    return {document_id: other_spellings(key, shared, prefixes) for document_id, key in keys.items()}


def _pick_unclaimed(
    services: Services, bucket: str, spellings: Mapping[str, Sequence[str]], there: set[str]
) -> dict[str, str]:
    """Return for each document the nearest key that holds an object and that no other document has."""
    if not there:
        return {}
    free = there - services.ledger.inventory().find_claimed(bucket, sorted(there))
    first = (
        (document_id, next((key for key in known if key in free), None)) for document_id, known in spellings.items()
    )
    return {document_id: key for document_id, key in first if key is not None}


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    waiting = iter(keys)
    while batch := list(islice(waiting, LOOKED_UP_AT_ONCE)):
        yield batch
