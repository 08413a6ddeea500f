"""How many rows a batch may lock within the lock budget, decided from the durations of earlier batches.

No clock, no I/O. A batch sends its HEADs in parallel, so it takes about the time of one request and a little more per row. If
one request alone takes longer than the budget, fewer rows would not help. Then the limit grows with the request time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rehouse.core.pricing import LISTED_PER_REQUEST

FIRST_ROWS = 50
MOST_ROWS = 500
FIRST_PATIENCE = 2
"""How long the requests under the locks may take before anything was measured, in lock budgets."""
LONGEST_PATIENCE_SECONDS = 2.0
"""The longest time that the requests under the locks may take, unless the budget is longer."""
LISTED_PAGES = 3
"""The most pages of a listing that may replace a batch's HEADs; pages are sequential, while the rows are locked."""
LISTING_GAIN = 25
"""How many HEADs a page of a listing must save. At S3's prices a page costs as much as 12.5 HEADs."""
FORGETTING = 1.01
"""With each batch, older measurements count less by this factor."""


@dataclass(frozen=True, slots=True)
class LockBudget:
    """The state: the budget in seconds, and what earlier batches showed.

    `rows`: how many rows the next batch may lock. `patience`: how long its requests may take, in seconds. `quickest`: the
    shortest recent batch, in seconds. `page`: the duration of one page of a listing, in seconds. None: not measured yet.
    """

    seconds: float
    rows: int
    patience: float
    quickest: float | None = None
    page: float | None = None

    @property
    def limit(self) -> float:
        """How long locks may be held, in seconds: the budget, or 1.5 times the quickest batch if that is longer."""
        return max(self.seconds, 1.5 * (self.quickest or 0.0))

    @property
    def aim(self) -> float:
        """How long a batch is meant to take, in seconds: three quarters of the budget, because some take twice as long as others.

        If the quickest batch takes almost as long, 1.35 times that.
        """
        return max(0.75 * self.seconds, 1.35 * (self.quickest or 0.0))

    def may_list(self, pages: int) -> bool:
        """Return whether so many pages may be listed, one after the other, while the rows are locked."""
        return self.page is None or self.page * pages <= self.limit


def objects_worth_listing(heads: int) -> int:
    """Return the largest number of objects in a range of keys for which a listing is better than so many parallel HEADs.

    >>> objects_worth_listing(24), objects_worth_listing(50), objects_worth_listing(500)
    (0, 2000, 3000)
    """
    return min(LISTED_PAGES, heads // LISTING_GAIN) * LISTED_PER_REQUEST


def start_budget(seconds: float) -> LockBudget:
    """Return the initial state for a budget of `seconds`."""
    return LockBudget(seconds, FIRST_ROWS, FIRST_PATIENCE * seconds)


def after_batch(budget: LockBudget, rows: int, seconds: float) -> LockBudget:
    """Return the state after a batch locked `rows` rows for `seconds` seconds.

    The first matching line applies:

    | the batch                                          | the next one                                    |
    |----------------------------------------------------|-------------------------------------------------|
    | took longer than the limit                         | as many as fit the aim, at least 1              |
    | had fewer rows than allowed                        | the same                                        |
    | took less                                          | as the first line, but never fewer, at most twice as many |
    """
    quickest = min(seconds, FORGETTING * (budget.quickest or seconds))
    budget = replace(budget, quickest=quickest, page=budget.page and budget.page / FORGETTING)
    budget = replace(budget, patience=max(budget.seconds, min(LONGEST_PATIENCE_SECONDS, 2 * quickest)))
    if seconds > budget.limit:
        return replace(budget, rows=max(1, min(budget.rows, int(rows * budget.aim / seconds))))
    if rows < budget.rows:
        return budget
    fitting = min(2.0 * rows, rows * budget.aim / max(seconds, 1e-9))
    return replace(budget, rows=min(MOST_ROWS, max(rows, int(fitting))))


def after_listing(budget: LockBudget, pages: int, seconds: float) -> LockBudget:
    """Return the state after `pages` pages of a listing took `seconds` seconds."""
    return replace(budget, page=seconds / max(1, pages))


def after_giving_up(budget: LockBudget, *, is_slow: bool) -> LockBudget:
    """Return the state after a batch was abandoned: half as many rows, and more patience if S3 was slow."""
    longer = max(budget.patience, min(LONGEST_PATIENCE_SECONDS, 2 * budget.patience))
    patience = longer if is_slow else budget.patience
    return replace(budget, rows=max(1, budget.rows // 2), patience=patience)
