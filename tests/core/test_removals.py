"""The truth table of what may be removed is the test; whatever is known, no doubtful source ever goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.model import Fault, ListedObject, ObjectRef
from rehouse.core.removals import (
    HINTS,
    FlippedDocument,
    Verdict,
    detail_of,
    is_proven,
    judge,
    judge_beside_others,
    may_be_put_back,
)

SHARED = ("shared", "older")


def listed(etag: str) -> ListedObject:
    return ListedObject("documents/d", etag, 1, "STANDARD", datetime(2026, 1, 1, tzinfo=UTC))


FLIPPED = FlippedDocument(
    "d",
    ObjectRef("shared", "k"),
    "source",
    1,
    ObjectRef("home", "documents/d"),
    "copy",
    fault=None,
    is_old_enough=True,
    points_to_target=True,
    row_etag="row",
    home=listed("copy"),
)
GONE = replace(FLIPPED, points_to_target=False, row_etag=None, is_row_gone=True)
CASES = {
    "its source is in no shared bucket": replace(FLIPPED, source=ObjectRef("elsewhere", "k"), fault="Conflict"),
    "its line has an error, or no ETag of the source": replace(FLIPPED, fault="Conflict", is_old_enough=False),
    "it was flipped less than the grace ago": replace(FLIPPED, is_old_enough=False, is_pointed_at=True),
    "a row points to its source, or another document waits for it": replace(FLIPPED, is_pointed_at=True, home=None),
    "its row points elsewhere": replace(FLIPPED, points_to_target=False, home=None),
    "its row is gone: its home object could not be looked at": replace(
        GONE, home=None, home_fault=Fault("SlowDown", "later")
    ),
    "its row is gone: its home object is there, or was deleted": replace(GONE, home=None, home_was_deleted=True),
    "its row is gone: its home object is not there, its source is": replace(GONE, home=None),
    "its row is gone: neither is there": replace(GONE, home=None, is_source_gone=True),
    "its home object could not be looked at": replace(FLIPPED, home=None, home_fault=Fault("SlowDown", "later")),
    "its home object is not there": replace(FLIPPED, home=None),
    "its home object is as we copied it": FLIPPED,
    "its home object was written since, and its row says that ETag": replace(FLIPPED, home=listed("row")),
    "its home object was written since, and its row says another one": replace(FLIPPED, home=listed("other")),
}


@pytest.mark.parametrize(("case", "verdict"), truth_table(judge))
def test_the_table(case: str, verdict: str) -> None:
    assert judge(CASES[case], SHARED) == verdict


def test_every_case_is_a_line_of_the_table() -> None:
    assert [line[0] for line in truth_table(judge)] == list(CASES)


def test_without_an_etag_no_condition_could_guard_the_removal() -> None:
    assert judge(replace(FLIPPED, source_etag=None), SHARED) is Verdict.IN_DOUBT


def test_an_etag_of_a_row_pointing_elsewhere_proves_nothing() -> None:
    assert not is_proven(replace(FLIPPED, points_to_target=False, home=listed("row")))
    assert is_proven(replace(FLIPPED, points_to_target=False))
    assert not is_proven(replace(FLIPPED, home=None, target_etag=None, row_etag=None))


BACK = {
    "is not there, or could not be looked at": replace(FLIPPED, home=None, target_etag=None),
    "is as we copied it": FLIPPED,
    "anything else, such as what its row says": replace(FLIPPED, home=listed("row")),
}


@pytest.mark.parametrize(("case", "verdict"), truth_table(may_be_put_back))
def test_only_what_was_there_is_put_back(case: str, verdict: str) -> None:
    assert may_be_put_back(BACK[case]) is (verdict == "yes")
    assert may_be_put_back(replace(BACK[case], points_to_target=False)) is (verdict == "yes")


etags = st.sampled_from(["source", "copy", "row", "other"])
anything = st.builds(
    FlippedDocument,
    document_id=st.just("d"),
    source=st.builds(ObjectRef, st.sampled_from(["shared", "older", "elsewhere", "home"]), st.just("k")),
    source_etag=st.none() | etags,
    source_size=st.integers(0),
    target=st.just(ObjectRef("home", "documents/d")),
    target_etag=st.none() | etags,
    fault=st.none() | st.just("Conflict"),
    is_old_enough=st.booleans(),
    points_to_target=st.booleans(),
    row_etag=st.none() | etags,
    is_pointed_at=st.booleans(),
    home=st.none() | etags.map(listed),
    home_fault=st.none() | st.just(Fault("SlowDown", "later")),
    is_row_gone=st.booleans(),
    home_was_deleted=st.booleans(),
    is_source_gone=st.booleans(),
)


@given(anything)
def test_what_may_go_is_nobodys_only_copy(flipped: FlippedDocument) -> None:
    if judge(flipped, SHARED) is Verdict.MAY_GO:
        assert flipped.source.bucket in SHARED
        assert flipped.source_etag and flipped.fault is None and flipped.is_old_enough and not flipped.is_pointed_at
        if flipped.is_row_gone:
            assert flipped.home or flipped.home_was_deleted or flipped.is_source_gone
            return
        assert not flipped.points_to_target or (
            flipped.home and flipped.home.etag in (flipped.target_etag, flipped.row_etag)
        )


@given(anything, st.booleans())
def test_a_source_stays_for_another_document(flipped: FlippedDocument, is_needed: bool) -> None:
    alone, needed = judge(flipped, SHARED), {flipped.source} if is_needed else set()
    verdict = judge_beside_others(flipped, SHARED, needed)
    assert verdict is (Verdict.SHARED_SOURCE if alone is Verdict.MAY_GO and is_needed else alone)
    assert detail_of(flipped, verdict)
    assert verdict in {Verdict.MAY_GO, Verdict.WAITING} or HINTS[verdict]


@given(anything)
def test_nothing_that_stays_is_left_without_a_reason(flipped: FlippedDocument) -> None:
    verdict = judge(flipped, SHARED)
    if verdict is not Verdict.MAY_GO:
        assert detail_of(flipped, verdict)
        assert verdict is Verdict.WAITING or HINTS[verdict]
