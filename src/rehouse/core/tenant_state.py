"""The state of a tenant in words for people, and why some of its documents were not migrated.

Every screen shows these words. In SQL, `s3_migrations.status` has other values; only the phase decides what rehouse does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from rehouse.core.escaping import count_noun
from rehouse.core.lifecycle import Phase, Status


class TenantState(StrEnum):
    """The state of a tenant."""

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    NEEDS_ATTENTION = "needs_attention"
    FAILED = "failed"
    FINISHED = "finished"
    ROLLED_BACK = "rolled_back"

    @property
    def words(self) -> str:
        """The state as people read it.

        >>> TenantState.NEEDS_ATTENTION.words
        'needs attention'
        """
        return self.value.replace("_", " ")


MEANINGS = {
    TenantState.NOT_STARTED: "no command has begun to move the tenant",
    TenantState.IN_PROGRESS: "a run is at work, was interrupted, stopped at --until, or waits for uploads",
    TenantState.COMPLETED: "the application uses the tenant's own bucket; only finish is left to do",
    TenantState.NEEDS_ATTENTION: "some documents stay behind or have a fault, each with its reason; the others are moved",
    TenantState.FAILED: "the run could not continue; the message has the reason",
    TenantState.FINISHED: "the sources are removed from the shared bucket",
    TenantState.ROLLED_BACK: "the application uses the shared bucket again",
}


def tenant_state(status: Status, phase: Phase | None, *, documents: int, run_failed: bool) -> TenantState:
    """Return the state of a tenant. The first matching line applies:

    | run failed | status      | phase    | documents | state           |
    |------------|-------------|----------|-----------|-----------------|
    | yes        |             |          |           | failed          |
    |            | pending     |          |           | not started     |
    |            | in_progress |          |           | in progress     |
    |            | rolled_back |          |           | rolled back     |
    |            | failed      |          | > 0       | needs attention |
    |            | failed      |          | 0         | failed          |
    |            | completed   | finished |           | finished        |
    |            | completed   |          |           | completed       |

    `documents`: how many stay behind or have a fault. `run_failed`: an error ended the last run; an interruption is not an error.
    """
    if run_failed:
        return TenantState.FAILED
    if status is Status.FAILED:
        return TenantState.NEEDS_ATTENTION if documents else TenantState.FAILED
    if status is Status.COMPLETED and phase is Phase.FINISHED:
        return TenantState.FINISHED
    return _OF_STATUS[status]


_OF_STATUS = {
    Status.PENDING: TenantState.NOT_STARTED,
    Status.IN_PROGRESS: TenantState.IN_PROGRESS,
    Status.ROLLED_BACK: TenantState.ROLLED_BACK,
    Status.COMPLETED: TenantState.COMPLETED,
}


def count_errors(state: TenantState, documents: int) -> int:
    """Return the number of errors that every command shows: the documents with an error, and at least 1 if the run failed.

    >>> count_errors(TenantState.FAILED, 0), count_errors(TenantState.NEEDS_ATTENTION, 2)
    (1, 2)
    """
    return max(documents, int(state is TenantState.FAILED))


def describe_states(states: Iterable[TenantState]) -> str:
    """Return how many tenants are in which state.

    >>> describe_states([TenantState.COMPLETED, TenantState.NEEDS_ATTENTION, TenantState.COMPLETED])
    '3 tenants: 2 completed, 1 needs attention'
    """
    counts = Counter(states)
    many = counts.total()
    parts = [f"{counts[state]:,} {_verb(state, counts[state])}" for state in TenantState if counts[state]]
    if len(counts) == 1:
        parts = [_verb(next(iter(counts)), many)]
    return count_noun(many, "tenant") + (f": {', '.join(parts)}" if parts else "")


def _verb(state: TenantState, count: int) -> str:
    return "need attention" if state is TenantState.NEEDS_ATTENTION and count != 1 else state.words


class Tally(NamedTuple):
    """How many documents a tenant has, as the last run recorded them.

    `skipped`: without a file in S3; `at_home`: rows that point to the home, whoever wrote them; `failed`: with an error, moved or
    not. A document that was migrated and then deleted is in `migrated` only.
    """

    total: int
    migrated: int = 0
    skipped: int = 0
    accepted: int = 0
    waiting: int = 0
    at_home: int = 0
    failed: int = 0
    is_cut_over: bool = True

    @property
    def deleted(self) -> int:
        """How many documents were migrated and deleted since, as far as the counts show."""
        return max(0, self.migrated - self.at_home)

    @property
    def rest(self) -> Counter[str]:
        """The number of documents that were not migrated, by reason, in the order of display.

        >>> +Tally(total=137, migrated=132, skipped=3, at_home=132, failed=2).rest
        Counter({'without a file': 3, 'with an error': 2})
        """
        unmoved = max(0, self.total - self.at_home - self.skipped - self.accepted - self.waiting)
        failed = unmoved if self.is_cut_over else min(self.failed, unmoved)
        return Counter(
            {
                "without a file": self.skipped,
                "accepted": self.accepted,
                "waiting": self.waiting,
                "with an error": failed,
                "not moved yet": unmoved - failed,
                "at home already": max(0, self.at_home - self.migrated),
            }
        )


def describe_rest(tallies: Iterable[Tally]) -> str:
    """Describe how many documents were migrated, and why the others were not.

    >>> describe_rest([Tally(total=137, migrated=133, skipped=3, accepted=1, at_home=133)])
    '133 of 137 documents migrated: 3 without a file, 1 accepted'
    >>> describe_rest([Tally(total=9, migrated=10, at_home=9)])
    '10 of 10 documents migrated, 1 of these deleted since'
    """
    rest, migrated, total, deleted = Counter[str](), 0, 0, 0
    for each in tallies:
        rest.update(each.rest)
        migrated, deleted = migrated + each.migrated, deleted + each.deleted
        total += each.total + each.deleted
    since = f", {deleted:,} of these deleted since" if deleted else ""
    parts = ", ".join(f"{count:,} {reason}" for reason, count in rest.items() if count)
    return f"{migrated:,} of {total:,} documents migrated{since}" + (f": {parts}" if parts else "")
