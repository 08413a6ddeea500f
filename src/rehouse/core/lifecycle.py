"""The state machine is the table MOVES, and nothing else decides where a tenant or a document may go."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from rehouse.core.errors import Halt


class Phase(StrEnum):
    """How far a tenant is. A failure is no phase: the phase stays, and running the command again goes on."""

    PLANNED = "planned"
    PROVISIONED = "provisioned"
    COPIED = "copied"
    VERIFIED = "verified"
    CUT_OVER = "cut_over"
    RELEASED = "released"
    FINISHED = "finished"
    ROLLED_BACK = "rolled_back"


class Event(StrEnum):
    """What happened to a tenant's migration."""

    BUCKET_READY = "bucket_ready"
    ALL_COPIED = "all_copied"
    ALL_MATCHED = "all_matched"
    MISMATCH_FOUND = "mismatch_found"
    CHANGES_FOUND = "changes_found"
    HOME_SWITCHED = "home_switched"
    SOURCES_RELEASED = "sources_released"
    SOURCES_REMOVED = "sources_removed"
    HOME_RETURNED = "home_returned"
    PLANNED_AGAIN = "planned_again"


class DocumentState(StrEnum):
    """Where a document of a migration stands (`s3_migration_documents.state`)."""

    PLANNED = "planned"
    COPIED = "copied"
    FLIPPED = "flipped"
    SUPERSEDED = "superseded"
    REMOVING = "removing"
    REMOVED = "removed"
    QUARANTINED = "quarantined"
    ACCEPTED = "accepted"


STATES: dict[str, tuple[DocumentState, ...]] = {
    "moved": (DocumentState.FLIPPED, DocumentState.REMOVING, DocumentState.REMOVED),
    "moved_with_source": (DocumentState.FLIPPED, DocumentState.REMOVING),
    "unmoved": (DocumentState.PLANNED, DocumentState.COPIED, DocumentState.QUARANTINED),
    "stuck": (DocumentState.PLANNED, DocumentState.QUARANTINED),
}
"""States that queries ask for together: `{states.moved}`. The source of a moved document may be there, or be gone for certain; an
unmoved one is where it was, and not on purpose; a stuck one has no copy that a flip waits for.
"""


class Status(StrEnum):
    """`s3_migrations.status`, for people and their SQL; the phase is the truth."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"


MOVES: dict[Phase, dict[Event, Phase]] = {
    Phase.PLANNED: {
        Event.BUCKET_READY: Phase.PROVISIONED,
        Event.HOME_RETURNED: Phase.ROLLED_BACK,
    },
    Phase.PROVISIONED: {
        Event.ALL_COPIED: Phase.COPIED,
        Event.HOME_RETURNED: Phase.ROLLED_BACK,
    },
    Phase.COPIED: {
        Event.ALL_MATCHED: Phase.VERIFIED,
        Event.MISMATCH_FOUND: Phase.PROVISIONED,
        Event.CHANGES_FOUND: Phase.PROVISIONED,
        Event.HOME_RETURNED: Phase.ROLLED_BACK,
    },
    Phase.VERIFIED: {
        Event.HOME_SWITCHED: Phase.CUT_OVER,
        Event.CHANGES_FOUND: Phase.PROVISIONED,
        Event.HOME_RETURNED: Phase.ROLLED_BACK,
    },
    Phase.CUT_OVER: {
        Event.SOURCES_RELEASED: Phase.RELEASED,
        Event.HOME_RETURNED: Phase.ROLLED_BACK,
    },
    Phase.RELEASED: {Event.SOURCES_REMOVED: Phase.FINISHED},
    Phase.FINISHED: {},
    Phase.ROLLED_BACK: {Event.PLANNED_AGAIN: Phase.PLANNED},
}


def after(phase: Phase, event: Event) -> Phase:
    """Return the phase that follows; raise Halt where the table knows no such move.

    >>> after(Phase.COPIED, Event.ALL_MATCHED)
    <Phase.VERIFIED: 'verified'>
    """
    try:
        return MOVES[phase][event]
    except KeyError:
        raise Halt(
            f"a tenant that is {phase} cannot take the event {event}",
            hint="`rehouse status` shows the history; another operator may be at work",
        ) from None


def was_verified(phases: Sequence[str | None]) -> bool:
    """Return whether a tenant was verified since it was planned last, by the phases of its history, oldest first.

    >>> was_verified(["provisioned", "copied", "verified", "provisioned"]), was_verified(["verified", "rolled_back"])
    (True, False)
    """
    for phase in reversed(phases):
        if phase in {Phase.PLANNED, Phase.ROLLED_BACK}:
            return False
        if phase == Phase.VERIFIED:
            return True
    return False


def is_at_least(phase: Phase, other: Phase) -> bool:
    """Return whether `phase` is `other` or later on the way forward (rolled back is before everything)."""
    order = list(Phase)
    return phase is not Phase.ROLLED_BACK and order.index(phase) >= order.index(other)


def closing_status(phase: Phase, *, errors: int, waiting: int, interrupted: bool) -> Status:
    """Return the status that a run leaves behind.

    | phase           | errors | waiting | interrupted | status      |
    |-----------------|--------|---------|-------------|-------------|
    | any             | > 0    | any     | any         | failed      |
    | any             | 0      | any     | yes         | in_progress |
    | rolled_back     | 0      | any     | no          | rolled_back |
    | cut_over, later | 0      | 0       | no          | completed   |
    | anything else   | 0      | any     | no          | in_progress |

    `errors`: documents that could not be moved (back, after a rollback) and were not accepted, or the run's own failure;
    `waiting`: rows whose upload has not arrived; `interrupted`: the run did not look at everything.
    """
    if errors:
        return Status.FAILED
    if interrupted:
        return Status.IN_PROGRESS
    if phase is Phase.ROLLED_BACK:
        return Status.ROLLED_BACK
    if is_at_least(phase, Phase.CUT_OVER) and not waiting:
        return Status.COMPLETED
    return Status.IN_PROGRESS


def diagram() -> str:
    """Return MOVES as a Mermaid state diagram (docs/lifecycle.md holds it, and a test compares the two)."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.PLANNED}"]
    lines += [f"    {phase} --> {to}: {event}" for phase, moves in MOVES.items() for event, to in moves.items()]
    return "\n".join([*lines, f"    {Phase.FINISHED} --> [*]"])
