"""The state machine: the table MOVES alone decides which phase of a tenant's migration may follow which.

The states of documents and the status of a migration are defined here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from rehouse.core.errors import Halt


class Phase(StrEnum):
    """How far a tenant is.

    After a failure the phase stays, and running the command again continues.
    """

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
    """The state of a document in a migration (`s3_migration_documents.state`)."""

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
"""Groups of states for queries, written `{states.moved}` there.

`moved`: the row was flipped, whether or not the source is removed; `moved_with_source`: the source may still exist. `unmoved`:
the document is still at its source, and nobody accepted that. `stuck`: it also has no copy that could be flipped.
"""


class Status(StrEnum):
    """The value of `s3_migrations.status`, for people and their SQL.

    Only the phase decides what rehouse does.
    """

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
    """Return the next phase. Raises Halt if MOVES does not allow the event in this phase.

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
    """Return whether the tenant was verified since its last plan.

    `phases` is its history, oldest first.

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
    """Return whether `phase` is `other` or later on the way forward.

    Rolled back comes before every phase.
    """
    order = list(Phase)
    return phase is not Phase.ROLLED_BACK and order.index(phase) >= order.index(other)


def closing_status(phase: Phase, *, errors: int, waiting: int, interrupted: bool) -> Status:
    """Return the status to record at the end of a run.

    | phase           | errors | waiting | interrupted | status      |
    |-----------------|--------|---------|-------------|-------------|
    | any             | > 0    | any     | any         | failed      |
    | any             | 0      | any     | yes         | in_progress |
    | rolled_back     | 0      | any     | no          | rolled_back |
    | cut_over, later | 0      | 0       | no          | completed   |
    | anything else   | 0      | any     | no          | in_progress |

    `errors`: documents that could not be moved (moved back, in a rollback) and were not accepted, or the failure of the run.
    `waiting`: rows whose upload has not arrived. `interrupted`: the run did not check every document.
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
    """Return MOVES as a Mermaid state diagram; a test compares it with docs/lifecycle.md."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.PLANNED}"]
    lines += [f"    {phase} --> {to}: {event}" for phase, moves in MOVES.items() for event, to in moves.items()]
    return "\n".join([*lines, f"    {Phase.FINISHED} --> [*]"])
