"""Settle late writes in both directions: in passes over the documents, with a few rounds for each document.

A round first does without a lock whatever takes time: it reads both objects, asks for checksums and copies. Then it locks the
row, checks the objects once more within the lock budget, and records the result, or nothing if another round is needed.
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
"""How often to decide on a document before it is left, because its objects may change each time."""
MOST_LOOKS = 3
"""How many objects are checked at most while a row is locked."""
LATE = "late"
"""The kind of work that locks one row at a time. It learns its own time for a check."""

CHANGED_AGAIN = Fault(PRECONDITION_FAILED, "its objects changed each time that rehouse read them")
"""One of the objects changed during the copy, so the document is decided on again."""
BUSY = Fault(ROW_LOCKED, "it may have a late write, and another transaction kept its row locked")
TOO_SLOW = Fault(
    "LockBudget", "S3 did not answer about its objects within the time for which a row may be locked (lock_budget_ms)"
)

Heads = dict[ObjectRef, ListedObject | None]
Refs = Callable[[], set[ObjectRef]]


class LateWrites(NamedTuple):
    """Counts of late writes: copied, (newly) found to be conflicts, and left for the next run with a fault."""

    recopied: int = 0
    conflicts: int = 0
    left: int = 0


@dataclass
class LateDocument:
    """A document with what this run did for it without a lock. `delay`: why it waits for another pass."""

    document_id: str
    copied: CopyOutcome | None = None
    delay: Fault = BUSY

    def keep(self, outcome: CopyOutcome) -> Fault | None:
        """Record a copy that was made without a lock; return its fault, but none if S3 does not offer the condition.

        In that case the copy is made under the lock.
        """
        if outcome.fault is None:
            self.copied = outcome
            return None
        return None if outcome.fault.code == NOT_OFFERED else outcome.fault


Write = Callable[[ObjectRef | None, Heads], LateWrites | Fault]
"""Records the result, given where the locked row points and the two objects. The fault CHANGED asks for another round."""
Item = TypeVar("Item", bound=LateDocument)


def settle_in_passes(
    services: Services,
    items: Sequence[Item],
    settle: Callable[[Item], LateWrites],
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[LateWrites], Sequence[Item]]:
    """Settle each item; return the results, and the items whose rows stayed locked or for which S3 stayed too slow."""
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
    """Prepare without a lock, then check and record under the lock, in rounds; record a fault if no round succeeds.

    `refs` returns the objects to check under the lock.
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
    """Check these objects once while a row is locked; return S3's fault, if any. Raises NotInTime."""
    budget, began = services.lock_budget(LATE), time.monotonic()
    found, faults = head_all(services, refs, until=began + budget.patience)
    services.lock_budgets[LATE] = lock_budget.after_batch(budget, 1, time.monotonic() - began)
    return next(iter(faults.values())) if faults else found


def sum_up(settled: Sequence[LateWrites]) -> LateWrites:
    """Return the sum of the counts."""
    return LateWrites(*(sum(column) for column in zip(*settled, LateWrites(), strict=True)))
