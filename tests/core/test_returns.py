"""The way back, as its truth table says; and for everything that could be seen, what no decision may ever do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.copies import CopyRecord, Places
from rehouse.core.late_writes import CONFLICT
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import Document, ListedObject, ObjectRef
from rehouse.core.naming import MAX_KEY_BYTES, key_problem, returned_key
from rehouse.core.returns import (
    DocumentAtHome,
    ReturnDecision,
    Returning,
    decide_return,
    probable_return,
    returned_places,
    way_back,
)

THEN = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C = "a" * 32, "b" * 32, "c" * 32
PLACES = Places(("shared", "older"), "home")
DOCUMENT = Document("7f", 1, "a.txt", "home", "documents/7f/a.txt", None, None)
HERE, OLD = ObjectRef("home", "documents/7f/a.txt"), ObjectRef("older", "in/7f")
FORWARD = CopyRecord(DocumentState.FLIPPED, OLD, A, HERE, B)
REVERSED = CopyRecord(DocumentState.COPIED, HERE, B, OLD, A)


def listed(etag: str, *, later: int = 0, storage_class: str = "STANDARD", size: int = 1) -> ListedObject:
    return ListedObject("k", etag, size, storage_class, THEN + timedelta(seconds=later))


MOVED = DocumentAtHome(DOCUMENT, listed(B), FORWARD, there=listed(A))
BORN = DocumentAtHome(DOCUMENT, listed(B))
FIRST = returned_places(BORN, PLACES, "acme")[0]
CASES: dict[str, list[DocumentAtHome]] = {
    "it was written at both ends, and nobody has decided": [
        replace(MOVED, error_code=CONFLICT),
        replace(MOVED, error_code=CONFLICT, found=None),
        replace(MOVED, recorded=REVERSED, error_code=CONFLICT),
        replace(MOVED, recorded=replace(FORWARD, target=ObjectRef("home", "replaced")), error_code=CONFLICT),
    ],
    "its home was the application's own, and it was not moved there": [BORN, replace(BORN, found=None)],
    "no object at home": [replace(BORN, found=None), replace(MOVED, found=None)],
    "its object at home is archived now": [
        replace(BORN, found=listed(B, storage_class="GLACIER")),
        replace(MOVED, found=listed(C, storage_class="DEEP_ARCHIVE")),
    ],
    "at home as it was moved, its old object there, changed or not": [
        MOVED,
        replace(MOVED, there=listed(C)),
        replace(MOVED, recorded=REVERSED),
        replace(MOVED, recorded=replace(REVERSED, state=DocumentState.PLANNED)),
        replace(MOVED, contested=True),
        replace(MOVED, found=listed(B, storage_class="GLACIER")),
    ],
    "written at home since, and its old object was written too": [
        replace(MOVED, found=listed(C), there=listed(C)),
        replace(MOVED, found=listed(C), there=listed(B), recorded=REVERSED),
    ],
    "copied back already, both objects as they were then": [
        replace(
            BORN,
            recorded=CopyRecord(DocumentState.COPIED, HERE, B, FIRST, C),
            was_copied=True,
            returned=(listed(C), None),
        )
    ],
    "a finished copy at its returned key": [
        replace(BORN, returned=(listed(B, later=1), None)),
        replace(BORN, found=listed("x-2"), returned=(listed(C), None), proven=(True, False)),
    ],
    "nothing at its returned key": [
        BORN,
        replace(MOVED, found=listed(C)),
        replace(MOVED, there=None),
        replace(MOVED, there=listed(C), contested=True),
        replace(MOVED, recorded=replace(FORWARD, source=ObjectRef("nobody's", "k"))),
        replace(MOVED, recorded=replace(FORWARD, target=ObjectRef("home", "documents/7f/earlier.txt"))),
        replace(MOVED, recorded=replace(FORWARD, state=DocumentState.SUPERSEDED)),
    ],
    "a finished copy at the key beside": [replace(BORN, returned=(listed(C), listed(B, later=1)))],
    "nothing at the key beside": [
        replace(BORN, returned=(listed(C), None)),
        replace(BORN, returned=(listed(B, later=-1), None)),
        replace(BORN, returned=(listed(B, later=1, size=2), None)),
    ],
    "anything else": [replace(BORN, returned=(listed(C), listed(C)))],
}


def standing(decision: ReturnDecision) -> str:
    return decision.standing + (f", {decision.reason}" if decision.reason else "")


@pytest.mark.parametrize(("line", "expected"), truth_table(decide_return))
def test_the_truth_table(line: str, expected: str) -> None:
    for seen in CASES[line]:
        decision = decide_return(seen, PLACES, "acme", is_adopted=expected == "stays")
        assert standing(decision) == expected, seen


def test_the_table_has_a_case_for_every_line() -> None:
    assert {line for line, _ in truth_table(decide_return)} == set(CASES)


def test_what_was_moved_into_an_adopted_home_goes_back() -> None:
    assert decide_return(MOVED, PLACES, "acme", is_adopted=True).standing is Returning.OLD_POINTER
    overwritten = replace(MOVED, found=listed(C))
    assert decide_return(overwritten, PLACES, "acme", is_adopted=True).standing is Returning.TO_COPY


def test_a_row_returns_with_the_etag_of_what_is_there() -> None:
    task = decide_return(replace(MOVED, there=listed(C, size=7)), PLACES, "acme", is_adopted=False).task
    assert task
    assert (task.source, task.source_etag, task.target, task.replaces_etag, task.size) == (HERE, B, OLD, C, 7)


etags = st.sampled_from([A, B, C, "x-2"])
objects = st.none() | st.builds(
    listed, etags, later=st.integers(-1, 1), storage_class=st.sampled_from(["STANDARD", "GLACIER"])
)
refs = st.sampled_from([HERE, OLD, FIRST, ObjectRef("nobody's", "k"), ObjectRef("shared", "in/7f")])
lines = st.none() | st.builds(
    CopyRecord, st.sampled_from(DocumentState), refs, st.none() | etags, st.none() | refs, st.none() | etags
)
anything = st.builds(
    DocumentAtHome,
    st.just(DOCUMENT),
    objects,
    lines,
    st.booleans(),
    st.sampled_from([None, CONFLICT, "SlowDown"]),
    objects,
    st.booleans(),
    st.tuples(objects, objects),
    st.tuples(st.booleans(), st.booleans()),
)


@given(anything, st.booleans())
def test_nothing_is_copied_over_anything_or_left_behind(seen: DocumentAtHome, is_adopted: bool) -> None:
    decision = decide_return(seen, PLACES, "acme", is_adopted=is_adopted)
    task = decision.task
    assert (task is not None) is (
        decision.standing in {Returning.OLD_POINTER, Returning.COPIED, Returning.ADOPT, Returning.TO_COPY}
    )
    assert (decision.reason is not None) is (decision.standing is Returning.QUARANTINED)
    if task is None:
        return
    assert seen.found
    assert task.source == HERE
    assert task.source_etag == seen.found.etag
    assert task.target.bucket in PLACES.shared
    if decision.standing is Returning.TO_COPY:
        first, second = returned_places(seen, PLACES, "acme")
        assert task.replaces_etag is None
        assert {first: seen.returned[0], second: seen.returned[1]}[task.target] is None
    else:
        assert task.replaces_etag is not None


@given(anything)
def test_an_old_pointer_is_taken_only_if_home_is_unchanged(seen: DocumentAtHome) -> None:
    decision = decide_return(seen, PLACES, "acme", is_adopted=False)
    if decision.standing is Returning.OLD_POINTER:
        back = way_back(seen, PLACES)
        assert back and seen.found and seen.there
        assert seen.found.etag == back.home_etag
        assert decision.task and decision.task.target == back.pointer
        assert seen.there.etag == back.etag or not seen.contested


@given(anything, st.booleans())
def test_a_row_is_tried_with_the_place_that_it_returns_to(seen: DocumentAtHome, is_adopted: bool) -> None:
    decision = decide_return(seen, PLACES, "acme", is_adopted=is_adopted)
    back = probable_return(seen, PLACES, "acme", is_adopted=is_adopted)
    assert (back is None) is (decision.standing is Returning.STAYS or seen.error_code == CONFLICT)
    assert back is None or back.pointer.bucket in PLACES.shared
    if decision.standing is Returning.OLD_POINTER:
        assert back and decision.task and back.pointer == decision.task.target


def test_a_row_without_a_known_source_is_tried_with_its_new_key() -> None:
    back = probable_return(replace(BORN, found=None), PLACES, "acme", is_adopted=False)
    assert back and back.pointer == FIRST


@given(st.text(), st.text(), st.text(), st.none() | st.text(), st.integers(255, 1000))
def test_a_returned_key_is_always_a_key(slug: str, document_id: str, name: str, etag: str | None, longest: int) -> None:
    for text in (slug, document_id, name, etag or ""):
        if any("\ud800" <= character <= "\udfff" for character in text):
            return
    key = returned_key(slug, document_id, name, etag=etag, max_characters=longest)
    assert key.startswith("returned/")
    assert len(key.encode()) <= min(MAX_KEY_BYTES, longest)
    assert key_problem(key) is None
    assert key.count("/") == 3
    assert key.rpartition("/")[2] not in {"", ".", ".."}


def test_documents_and_their_versions_share_no_returned_key() -> None:
    keys = {returned_key("acme", each, "a.txt") for each in ("1", "1/", "..", "%2E%2E", "a.txt")}
    assert len(keys) == 5
    assert len({returned_key("acme", "1", "a.txt", etag=etag) for etag in (None, A, B)}) == 3
