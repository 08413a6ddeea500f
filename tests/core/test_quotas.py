"""Whether there is room: the truth tables are the tests, and no sequence of grants ever exceeds a limit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.quotas import Limits, Room, limit_bytes, limit_documents, quota_problem

NO_LIMITS = Limits()
ROOMS = {
    ("any", "any"): [Room(10**15, 10**6, 10**15, 10**6, 10**15, 1)],
    ("at most the limit", "any"): [Room(60, 6, 30, 3, 10, 1), Room(0, 0, 0, 0, 0, 0), Room(100, 10, 0, 0, 0, 0)],
    ("more than the limit", "none"): [Room(101, 11, 0, 0, 0, 0), Room(60, 6, 41, 5, 0, 0)],
    ("more than the limit", "some"): [Room(60, 6, 30, 3, 11, 0), Room(60, 6, 30, 4, 0, 1), Room(101, 0, 0, 0, 1, 0)],
}
amounts = st.integers(0, 40)


@pytest.mark.parametrize(("limit", "total", "more", "result"), truth_table(quota_problem))
def test_the_table(limit: str, total: str, more: str, result: str) -> None:
    limits = NO_LIMITS if limit == "none" else Limits(100, 10)
    for room in ROOMS[total, more]:
        assert (quota_problem(limits, room) is None) == (result == "granted"), room


@pytest.mark.parametrize(("told", "bytes_told"), truth_table(limit_bytes))
def test_the_table_of_limits(told: str, bytes_told: str) -> None:
    value = None if told == "NULL" else told
    wanted = None if bytes_told == "no limit" else int(bytes_told)
    assert limit_bytes(value) == wanted
    if value is not None and value not in {"NaN", "Infinity"}:
        assert limit_bytes(Decimal(value)) == limit_bytes(float(value)) == wanted


def test_documents_are_counted_whole() -> None:
    assert [limit_documents(each) for each in (None, 1000, "9.9", -3, "nonsense")] == [None, 1000, 9, 0, 0]


def test_the_sentence_says_what_is_used_and_needed() -> None:
    told = quota_problem(Limits(100), Room(60, 6, 30, 3, 1100, 1))
    assert told == "its limit is 100 bytes: 60 are used, 30 reserved by other uploads, and this one needs 1,100"
    assert "10 documents" in str(quota_problem(Limits(None, 10), Room(0, 10, 0, 0, 1, 1)))


@given(st.integers(0, 200), st.integers(0, 10), st.lists(st.tuples(amounts, st.integers(0, 1)), max_size=30))
def test_grants_one_after_the_other_never_exceed_a_limit(
    most_bytes: int, most_documents: int, wanted: list[tuple[int, int]]
) -> None:
    reserved = [0, 0]
    for size, document in wanted:
        room = Room(0, 0, reserved[0], reserved[1], size, document)
        if quota_problem(Limits(most_bytes, most_documents), room) is None:
            reserved = [reserved[0] + size, reserved[1] + document]
        elif reserved[0] + size <= most_bytes and reserved[1] + document <= most_documents:
            pytest.fail("there was room")
        assert reserved[0] <= most_bytes
        assert reserved[1] <= most_documents
