"""Find out whether an object at a target is a finished copy of the source that a killed run could not record.

A listing proves it only for small objects whose copy is newer. The others are compared by checksum, and, if an earlier copy may
have had other headers or tags, by everything that a copy carries. The tags of a copy in parts are set after the upload, so they
may be missing: `complete_tags` sets them before the copy is recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from rehouse.core.comparing import Comparison, Finding, unseen_side
from rehouse.core.copies import is_md5
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.model import Fault
from rehouse.core.unrecorded_copies import Doubt, is_in_parts
from rehouse.operations.services import Services
from rehouse.operations.steps.proofs import HIDDEN, Ends, compare_by_checksum, compare_sides
from rehouse.s3.bulk.sender import Answer
from rehouse.s3.faults import ABSENT, CHANGED, translate_errors
from rehouse.s3.object_headers import carried_headers, hidden_metadata
from rehouse.s3.reading import put_tags, read_tags

CHANGED_MEANWHILE = Comparison(Finding.COULD_NOT_CHECK, detail="one side changed or was deleted")


class Doubtful(NamedTuple):
    """A document's object at both ends, and what must be compared."""

    ends: Ends
    doubt: Doubt


def compare_doubtful(services: Services, doubtful: Sequence[Doubtful]) -> dict[str, Comparison]:
    """Return the comparison of each document by its id; SAME: the target is a finished copy, but its tags may be missing.

    If S3 gave no answer about a side, the comparison has the fault.
    """
    by_checksum = [each.ends for each in doubtful if not (each.doubt is Doubt.ALL and _has_equal_md5s(each.ends))]
    compared = compare_by_checksum(services.bulk, by_checksum)
    for ends, doubt in doubtful:
        found = compared.get(ends.document_id)
        if doubt is Doubt.ALL and (found is None or found.finding is Finding.SAME):
            compared[ends.document_id] = _compare_properties(services, ends)
    return compared


def complete_tags(services: Services, ends: Ends) -> Fault | None:
    """Give a copy in parts the tags of its source if it has none; return the fault if that fails."""
    if not is_in_parts(ends.target_etag):
        return None
    answer = services.bulk.read_headers(ends.target, ends.target_etag)
    if answer.value is None:
        return answer.fault
    target = replace(ends.target, version=answer.value.get("x-amz-version-id"))
    client, owner = services.control.client, services.control.owner()
    try:
        with translate_errors(ends.target.key):
            wanted = read_tags(client, ends.source, **owner)
            if wanted and not read_tags(client, ends.target, **owner):
                put_tags(client, target, wanted, **owner)
    except (StorageRefused, StorageUnavailable) as error:
        return Fault(error.code, error.message)
    return None


def _has_equal_md5s(ends: Ends) -> bool:
    return is_md5(ends.target_etag) and ends.source_etag == ends.target_etag


def _compare_properties(services: Services, ends: Ends) -> Comparison:
    """Compare the headers, the metadata and the tags; a copy in parts that has no tags at all may lack them."""
    sides: list[dict[str, object]] = []
    for ref, etag in ((ends.source, ends.source_etag or ""), (ends.target, ends.target_etag)):
        answer = services.bulk.read_headers(ref, etag)
        if answer.value is None:
            return _explain_no_answer(answer)
        try:
            with translate_errors(ref.key):
                tags = read_tags(services.control.client, ref, **services.control.owner()) or []
        except StorageRefused as error:
            return Comparison(Finding.COULD_NOT_CHECK, detail=error.message)
        except StorageUnavailable as error:
            return unseen_side(Fault(error.code, error.message))
        sides.append({**carried_headers(answer.value), HIDDEN: hidden_metadata(answer.value), "tags": tags})
    source, target = sides
    if is_in_parts(ends.target_etag) and not target["tags"]:
        target["tags"] = source["tags"]
    return compare_sides(source, target)


def _explain_no_answer(answer: Answer[dict[str, str]]) -> Comparison:
    fault = answer.fault
    return CHANGED_MEANWHILE if fault is None or fault.code in CHANGED | ABSENT else unseen_side(fault)
