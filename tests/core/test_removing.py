"""The truth table of what may be removed is the test; whatever is known, no doubtful source ever goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.tables import truth_table

from rehouse.core.model import Fault, ListedObject, ObjectRef
from rehouse.core.removing import HINTS, Moved, Verdict, detail_of, is_proven, judge

SHARED = ("shared", "older")


def listed(etag: str) -> ListedObject:
    return ListedObject("documents/d", etag, 1, "STANDARD", datetime(2026, 1, 1, tzinfo=UTC))


MOVED = Moved(
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
CASES = {
    "its source is in no shared bucket": replace(MOVED, source=ObjectRef("elsewhere", "k"), fault="Conflict"),
    "its line has an error, or no ETag of the source": replace(MOVED, fault="Conflict", is_old_enough=False),
    "it was flipped less than the grace ago": replace(MOVED, is_old_enough=False, is_pointed_at=True),
    "a row points to its source, or another document waits for it": replace(MOVED, is_pointed_at=True, home=None),
    "its row is gone, or points elsewhere": replace(MOVED, points_to_target=False, home=None),
    "its home object could not be looked at": replace(MOVED, home=None, home_fault=Fault("SlowDown", "later")),
    "its home object is not there": replace(MOVED, home=None),
    "its home object is as we copied it": MOVED,
    "its home object was written since, and its row says that ETag": replace(MOVED, home=listed("row")),
    "its home object was written since, and its row says another one": replace(MOVED, home=listed("other")),
}


@pytest.mark.parametrize(("case", "verdict"), truth_table(judge))
def test_the_table(case: str, verdict: str) -> None:
    assert judge(CASES[case], SHARED) == verdict


def test_every_case_is_a_line_of_the_table() -> None:
    assert [line[0] for line in truth_table(judge)] == list(CASES)


def test_without_an_etag_no_condition_could_guard_the_removal() -> None:
    assert judge(replace(MOVED, source_etag=None), SHARED) is Verdict.IN_DOUBT


def test_an_etag_that_only_a_row_pointing_elsewhere_has_proves_nothing() -> None:
    assert not is_proven(replace(MOVED, points_to_target=False, home=listed("row")))
    assert is_proven(replace(MOVED, points_to_target=False))
    assert not is_proven(replace(MOVED, home=None, target_etag=None, row_etag=None))


etags = st.sampled_from(["source", "copy", "row", "other"])
anything = st.builds(
    Moved,
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
)


@given(anything)
def test_what_may_go_is_nobodys_only_copy(moved: Moved) -> None:
    if judge(moved, SHARED) is Verdict.MAY_GO:
        assert moved.source.bucket in SHARED
        assert moved.source_etag and moved.fault is None and moved.is_old_enough and not moved.is_pointed_at
        assert not moved.points_to_target or (moved.home and moved.home.etag in (moved.target_etag, moved.row_etag))


@given(anything)
def test_nothing_that_stays_is_left_without_a_reason(moved: Moved) -> None:
    verdict = judge(moved, SHARED)
    if verdict is not Verdict.MAY_GO:
        assert detail_of(moved, verdict)
        assert verdict is Verdict.WAITING or HINTS[verdict]
