"""What must be compared before an object counts as a finished copy: the truth table, and what a listing proves by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.copies import CopyRecord, is_adoptable
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import ListedObject, ObjectRef
from rehouse.core.unrecorded_copies import Doubt, doubt_about

NOW = datetime(2026, 6, 1, tzinfo=UTC)
WINDOW = timedelta(hours=1)
MD5, OTHER, MULTIPART = "0" * 32, "1" * 32, "0" * 32 + "-2"

objects = st.builds(
    ListedObject,
    key=st.just("k"),
    etag=st.sampled_from([MD5, OTHER, MULTIPART]),
    size=st.sampled_from([0, 7]),
    storage_class=st.just("STANDARD"),
    modified_at=st.sampled_from([NOW - WINDOW, NOW, NOW + WINDOW]),
)

PAIR = ListedObject("k", MD5, 7, "STANDARD", NOW), ListedObject("k", OTHER, 7, "STANDARD", NOW + WINDOW)
KNOWN = CopyRecord(DocumentState.COPIED, ObjectRef("shared", "k"), MD5, ObjectRef("home", "documents/d1/a.pdf"), OTHER)
PAIRS: dict[str, list[tuple[ListedObject, ListedObject, CopyRecord | None]]] = {
    "have other sizes, or the target is the older one": [
        (replace(PAIR[0], size=8), PAIR[1], None),
        (PAIR[0], replace(PAIR[1], modified_at=NOW - WINDOW), None),
        (PAIR[0], replace(PAIR[1], etag=MULTIPART, modified_at=NOW - WINDOW), None),
    ],
    "the target has the ETag of the copy that the ledger knows of": [
        (*PAIR, KNOWN),
        (PAIR[0], replace(PAIR[1], modified_at=NOW), KNOWN),
    ],
    "were written in the same second: either may be the older one": [
        (PAIR[0], replace(PAIR[1], etag=etag, modified_at=NOW), known)
        for etag in (MD5, OTHER)
        for known in (None, replace(KNOWN, target_etag=MULTIPART))
    ],
    "the target was made in parts: its tags are set afterwards": [
        (replace(PAIR[0], etag=etag), replace(PAIR[1], etag=MULTIPART), None) for etag in (MD5, MULTIPART)
    ],
    "their ETags have the form of MD5s and are equal": [
        (PAIR[0], replace(PAIR[1], etag=MD5), known) for known in (None, KNOWN)
    ],
    "anything else: an ETag of KMS may have the form of an MD5": [
        (*PAIR, None),
        (replace(PAIR[0], etag=MULTIPART), PAIR[1], None),
        (*PAIR, replace(KNOWN, target_etag=MD5)),
    ],
}


@pytest.mark.parametrize(("case", "doubt"), truth_table(doubt_about))
def test_what_must_be_compared(case: str, doubt: str) -> None:
    assert {doubt_about(*pair) for pair in PAIRS[case]} == {Doubt(doubt)}


@given(objects, objects)
def test_what_a_listing_proves_is_not_compared(one: ListedObject, other: ListedObject) -> None:
    assert not (is_adoptable(one, other) and doubt_about(one, other) is not Doubt.NONE)
