"""What events add up to: it never goes back, never exceeds its total, and a rate is never negative."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.progress import BEGUN, DONE, IDLE, Meter, Progress

counts = st.integers(0, 1000)
events = st.builds(
    Progress,
    subject=st.sampled_from(["a", "b", "c"]),
    step=st.sampled_from(["copy", "verify", "flip", "list", "wait", DONE, IDLE]),
    documents=counts,
    documents_total=st.none() | counts,
    bytes_copied=counts,
)


@given(st.lists(st.tuples(events, st.floats(0, 5)), max_size=60))
def test_nothing_goes_back(told: list[tuple[Progress, float]]) -> None:
    meter, now, seen = Meter(0.0), 0.0, []
    for event, pause in told:
        now += pause
        meter.take(event, now)
        seen.append(meter.overall(now))
    for before, after in pairwise(seen):
        assert before.documents <= after.documents
        assert before.documents_total <= after.documents_total
        assert before.bytes_copied <= after.bytes_copied
        assert before.tenants_done <= after.tenants_done
        assert before.elapsed_seconds <= after.elapsed_seconds
    for each in seen:
        assert each.documents <= each.documents_total
        assert each.tenants_done <= each.tenants_total
        assert each.rate >= 0
        assert each.seconds_left is None or each.seconds_left >= 0


def test_a_second_pass_begins_where_the_first_one_was() -> None:
    meter = Meter(0.0)
    for now, documents in enumerate([500, 1000, 0, 20], 1):
        meter.take(Progress("a", "copy", documents, 1000), float(now))
    assert meter.overall(4.0).documents == 1000
    assert meter.at_work["a"].documents == 1000


def test_a_total_that_was_too_low_is_raised() -> None:
    meter = Meter(0.0)
    meter.take(Progress("a", "copy", 30, 20), 1.0)
    assert (meter.at_work["a"].documents_total, meter.overall(1.0).documents_total) == (30, 30)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    meter = Meter(0.0)
    for second in range(100):
        meter.take(Progress("a", "copy", second * (1 if second < 80 else 5), 1000), float(second))
    slow, fast = 80, 5 * 99
    assert meter.overall(99.0).rate < 5 * 12
    assert meter.overall(99.0).documents == max(slow, fast)


def test_tenants_are_counted() -> None:
    meter = Meter(0.0)
    meter.take(Progress("", BEGUN, documents_total=3), 0.0)
    meter.take(Progress("a", "copy", 1, 2), 1.0)
    meter.take(Progress("a", DONE), 2.0)
    found = meter.overall(2.0)
    assert (found.tenants_done, found.tenants_total) == (1, 3)
    assert meter.at_work == {}
    meter.take(Progress("b", "copy", 1, 2), 3.0)
    meter.take(Progress("b", IDLE), 3.0)
    meter.take(Progress("a", DONE), 3.0)
    assert (meter.overall(3.0).tenants_done, meter.at_work) == (1, {})
