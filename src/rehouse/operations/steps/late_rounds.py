"""How late writes are settled, in both directions: passes over the documents, and a few rounds for each of them.

A round prepares without any lock whatever takes time (it looks, asks for checksums, copies). Then it locks the row, looks once
more within the lock budget, and writes down what it finds, or nothing if that takes another round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from rehouse.core import lock_budget
from rehouse.core.late_writes import ROW_LOCKED
from rehouse.core.model import CopyOutcome, Fault, ListedObject, ObjectRef
from rehouse.ledger.late_writes import LateWriteRecords, RowIsBusy
from rehouse.operations.services import Services
from rehouse.operations.steps.busy_rows import passes
from rehouse.operations.steps.guarded_copies import NOT_OFFERED
from rehouse.operations.steps.survey import head_all
from rehouse.s3.bulk.sender import NotInTime
from rehouse.s3.faults import CHANGED, PRECONDITION_FAILED

ROUNDS = 3
"""How often a document is decided on before it is left: its objects, and so what is to be copied, may change each time."""
MOST_LOOKS = 3
"""The most objects that are looked at while a row is locked."""
LATE = "late"
"""The work that locks one row at a time: it learns for itself how long a look takes."""

CHANGED_AGAIN = Fault(PRECONDITION_FAILED, "its objects changed each time that they were looked at")
"""One of the objects changed under the copy: the document is decided on once more."""
BUSY = Fault(ROW_LOCKED, "its source may have been written late, and another transaction kept its row locked")
TOO_SLOW = Fault(
    "LockBudget", "S3 did not answer about its objects within the time for which a row may be locked (lock_budget_ms)"
)

Heads = dict[ObjectRef, ListedObject | None]
Refs = Callable[[], set[ObjectRef]]


class LateWrites(NamedTuple):
    """Late writes: brought home, found to be (new) conflicts, and left for the next run with a fault."""

    recopied: int = 0
    conflicts: int = 0
    left: int = 0


@dataclass
class LateDocument:
    """A document with what this run did about it outside any lock. `delay`: why it waits for another pass."""

    document_id: str
    copied: CopyOutcome | None = None
    delay: Fault = BUSY

    def keep(self, outcome: CopyOutcome) -> Fault | None:
        """Keep a copy that was made without a lock; return the fault, but none where S3 offers no condition for it.

        Then it is copied under the lock.
        """
        if outcome.fault is None:
            self.copied = outcome
            return None
        return None if outcome.fault.code == NOT_OFFERED else outcome.fault


Write = Callable[[ObjectRef | None, Heads], LateWrites | Fault]
"""Write down what is so, from where the locked row points and what is at the objects; a fault of CHANGED takes another round."""
Item = TypeVar("Item", bound=LateDocument)


def settle_in_passes(
    services: Services,
    items: Sequence[Item],
    settle: Callable[[Item], LateWrites],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[LateWrites], Sequence[Item]]:
    """Settle each; return the results, and the items whose rows stayed busy, or for which S3 stayed too slow."""
    settled: list[LateWrites] = []
    for _ in passes():
        total, waiting = len(settled) + len(items), []
        for item in items:
            services.stop_here()
            services.keep_locks()
            try:
                settled.append(settle(item))
            except RowIsBusy:
                item.delay = BUSY
                waiting.append(item)
            except NotInTime as error:
                budget = services.lock_budget(LATE)
                services.lock_budgets[LATE] = lock_budget.after_giving_up(budget, is_slow=error.is_slow)
                item.delay = TOO_SLOW
                waiting.append(item)
            report(len(settled), total)
        items = waiting
        if not items:
            break
    return settled, items


def settle_in_rounds(
    services: Services,
    lines: LateWriteRecords,
    item: LateDocument,
    *,
    prepare: Callable[[], Fault | None],
    write: Write,
    refs: Refs,
) -> LateWrites:
    """Prepare without a lock, then look and write with it, until that is done; record the fault where it is not.

    `refs` returns the objects to look at under the lock.
    """

    def settle() -> LateWrites | Fault:
        with services.bulk.reserve(MOST_LOOKS), lines.lock_row(item.document_id) as row:
            seen = look_in_time(services, refs())
            return seen if isinstance(seen, Fault) else write(row, seen)

    fault = CHANGED_AGAIN
    for _ in range(ROUNDS):
        found = prepare() or services.ledger.run_with_retries(settle)
        if isinstance(found, LateWrites):
            return found
        fault = found
        if fault.code not in CHANGED:
            break
    return record_fault(lines, item.document_id, fault)


def record_fault(lines: LateWriteRecords, document_id: str, fault: Fault) -> LateWrites:
    """Record why a document is left for the next run."""
    with lines.fence():
        lines.fail(document_id, fault)
    return LateWrites(left=1)


def look_in_time(services: Services, refs: set[ObjectRef]) -> Heads | Fault:
    """Look at these objects once, while a row is locked; return the fault if S3 has one. Raises NotInTime."""
    budget, began = services.lock_budget(LATE), time.monotonic()
    found, faults = head_all(services, refs, until=began + budget.patience)
    services.lock_budgets[LATE] = lock_budget.after_batch(budget, 1, time.monotonic() - began)
    return next(iter(faults.values())) if faults else found


def sum_up(settled: Sequence[LateWrites]) -> LateWrites:
    """Return the sums."""
    return LateWrites(*(sum(column) for column in zip(*settled, LateWrites(), strict=True)))
