"""How many rows a batch may lock within the lock budget, decided from the durations of earlier batches.

No clock, no I/O. HEADs go out beside each other, so a batch takes about one request's time and a little more for each row:
where one request alone takes longer than the budget, fewer rows would not help, and the limit follows the request.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rehouse.core.pricing import LISTED_PER_REQUEST

FIRST_ROWS = 50
MOST_ROWS = 500
FIRST_PATIENCE = 2
"""How many budgets the looks may take before anything was measured."""
LONGEST_PATIENCE_SECONDS = 2.0
"""How long looks may take before they are given up, unless the budget is longer."""
LISTED_PAGES = 3
"""A batch's range of keys is listed if it lies within so many pages: they come one after the other, under the locks."""
LISTING_GAIN = 25
"""How many HEADs a page of a listing must save; by S3's prices it costs 12.5 of them."""
FORGETTING = 1.01
"""What was measured once counts a little less with each batch."""


@dataclass(frozen=True, slots=True)
class LockBudget:
    """`seconds` is the budget, `rows` what the next batch may lock, `patience` how long its looks may take, in seconds.

    `quickest`: the shortest time of a full batch lately; `page`: what a page of a listing takes, None if none was measured.
    """

    seconds: float
    rows: int
    patience: float
    quickest: float | None = None
    page: float | None = None

    @property
    def limit(self) -> float:
        """How long locks may be held: the budget, or half as much again as one look takes at the least."""
        return max(self.seconds, 1.5 * (self.quickest or 0.0))

    def may_list(self, pages: int) -> bool:
        """Return whether so many pages, one after the other, may be listed under the locks."""
        return self.page is None or self.page * pages <= self.limit


def objects_worth_listing(heads: int) -> int:
    """Return how many objects a range of keys may hold to be listed, page after page, instead of so many HEADs at once.

    >>> objects_worth_listing(24), objects_worth_listing(50), objects_worth_listing(500)
    (0, 2000, 3000)
    """
    return min(LISTED_PAGES, heads // LISTING_GAIN) * LISTED_PER_REQUEST


def started(seconds: float) -> LockBudget:
    """Return the state to begin with."""
    return LockBudget(seconds, FIRST_ROWS, FIRST_PATIENCE * seconds)


def held(budget: LockBudget, rows: int, seconds: float) -> LockBudget:
    """Return the state after a batch of `rows` whose locks were held for so many seconds. The first line that fits holds:

    | the batch                                          | the next one                                    |
    |----------------------------------------------------|-------------------------------------------------|
    | took longer than the limit                         | nine tenths of what would have fitted, at least 1 |
    | had fewer rows than allowed                        | the same                                        |
    | took less                                          | as the first line, but never fewer, at most twice as many |
    """
    quickest = min(seconds, FORGETTING * (budget.quickest or seconds))
    budget = replace(budget, quickest=quickest, page=budget.page and budget.page / FORGETTING)
    budget = replace(budget, patience=max(budget.seconds, min(LONGEST_PATIENCE_SECONDS, 2 * quickest)))
    if seconds > budget.limit:
        return replace(budget, rows=max(1, min(budget.rows, int(0.9 * rows * budget.limit / seconds))))
    if rows < budget.rows:
        return budget
    fitting = min(2.0 * rows, 0.9 * rows * budget.limit / max(seconds, 1e-9))
    return replace(budget, rows=min(MOST_ROWS, max(rows, int(fitting))))


def listed(budget: LockBudget, pages: int, seconds: float) -> LockBudget:
    """Return the state after `pages` of a listing took so many seconds."""
    return replace(budget, page=seconds / max(1, pages))


def given_back(budget: LockBudget, *, is_slow: bool) -> LockBudget:
    """Return the state after a batch that was given back: half as many rows, and more patience if answers were slow to come."""
    longer = max(budget.patience, min(LONGEST_PATIENCE_SECONDS, 2 * budget.patience))
    patience = longer if is_slow else budget.patience
    return replace(budget, rows=max(1, budget.rows // 2), patience=patience)
