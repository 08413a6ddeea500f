"""How many rows a batch may lock: the table of `held`, and that the budget is found from anywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.lock_budget import (
    FIRST_ROWS,
    LONGEST_PATIENCE_SECONDS,
    MOST_ROWS,
    LockBudget,
    after_batch,
    after_giving_up,
    after_listing,
    start_budget,
)

BUDGET = replace(start_budget(0.05), quickest=0.01)


@pytest.mark.parametrize(
    ("rows", "seconds", "next_rows"),
    [
        (50, 0.100, 18),  # three quarters of half
        (50, 5.0, 1),
        (10, 0.020, 50),  # there were no more
        (50, 0.015, 100),
        (50, 0.020, 93),
        (50, 0.030, 62),
        (50, 0.040, 50),
        (50, 0.048, 50),
    ],
)
def test_the_next_batch(rows: int, seconds: float, next_rows: int) -> None:
    assert after_batch(BUDGET, rows, seconds).rows == next_rows


def test_it_begins_small_and_stays_below_the_most() -> None:
    assert start_budget(0.05).rows == FIRST_ROWS
    budget = start_budget(60.0)
    for _ in range(10):
        budget = after_batch(budget, budget.rows, 0.001)
    assert budget.rows == MOST_ROWS


def test_a_batch_that_was_given_back_is_halved() -> None:
    assert after_giving_up(BUDGET, is_slow=False).rows == 25
    assert after_giving_up(BUDGET, is_slow=False).patience == BUDGET.patience
    assert after_giving_up(BUDGET, is_slow=True).patience == 2 * BUDGET.patience
    assert after_giving_up(replace(BUDGET, rows=1), is_slow=True).rows == 1


def test_a_listing_that_took_too_long_is_not_tried_again_soon() -> None:
    assert BUDGET.may_list(3)
    slow = after_listing(BUDGET, 1, 0.2)
    assert not slow.may_list(1)
    assert not after_batch(slow, 50, 0.03).may_list(1)
    for _ in range(200):
        slow = after_batch(slow, 50, 0.03)
    assert slow.may_list(1)


@given(st.floats(0.0001, 0.02), st.floats(0.00001, 0.005))
def test_the_budget_is_found(request: float, row: float) -> None:
    """Whatever a request and a row take: soon no batch takes longer than the limit, and none is smaller than it need be."""
    budget = start_budget(0.05)
    for _ in range(30):
        budget = after_batch(budget, budget.rows, request + row * budget.rows)
    took = request + row * budget.rows
    assert took <= max(budget.limit, request + row) * 1.01
    assert budget.rows == MOST_ROWS or took >= budget.limit / 2


@given(st.floats(0.06, 1.0))
def test_slow_requests_do_not_make_batches_tiny(request: float) -> None:
    budget = start_budget(0.05)
    for _ in range(30):
        budget = after_batch(budget, budget.rows, request + 0.00001 * budget.rows)
    assert budget.rows >= FIRST_ROWS
    assert budget.patience >= min(LONGEST_PATIENCE_SECONDS, request)


@given(st.lists(st.tuples(st.sampled_from(["held", "slow", "again"]), st.floats(0, 10)), max_size=50))
def test_it_stays_within_its_bounds(steps: list[tuple[str, float]]) -> None:
    budget: LockBudget = start_budget(0.05)
    for what, seconds in steps:
        budget = (
            after_batch(budget, budget.rows, seconds)
            if what == "held"
            else after_giving_up(budget, is_slow=what == "slow")
        )
        assert 1 <= budget.rows <= MOST_ROWS
        assert budget.seconds <= budget.patience <= LONGEST_PATIENCE_SECONDS
