"""Decide whether the source of a flipped document may be removed, by a truth table.

Pure functions: they take what S3 and the ledger say and return a verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from rehouse.core.durations import spell_duration
from rehouse.core.model import Fault, ListedObject, ObjectRef

SUSPENDED = "suspended: a DELETE destroys the null version of an object, which may be its only one"
"""How reports describe suspended versioning of a shared bucket."""


class Verdict(StrEnum):
    """Whether a source may be removed, or why it stays."""

    MAY_GO = "may_go"
    WAITING = "waiting"
    UNKNOWN_BUCKET = "unknown_bucket"
    IN_DOUBT = "in_doubt"
    POINTED_AT = "pointed_at"
    HOME_UNSEEN = "home_unseen"
    HOME_MISSING = "home_missing"
    HOME_CHANGED = "home_changed"
    LAST_COPY = "last_copy"
    SHARED_SOURCE = "shared_source"


NOT_PUT_BACK = "not_put_back"
"""A row points to a source that was removed, and it could not be put back."""
STAYING_CODES = frozenset({*Verdict} - {Verdict.MAY_GO, Verdict.WAITING}) | {NOT_PUT_BACK}
"""The codes that a pass over the sources leaves in the ledger: only the next pass looks at them again, no sweep does."""
HINTS = {
    NOT_PUT_BACK: "run `rehouse finish` again, or copy the right object to where the row points",
    Verdict.UNKNOWN_BUCKET: "name the bucket in REHOUSE_SHARED_BUCKET, if it is one of the shared ones",
    Verdict.POINTED_AT: "migrate the tenant of that row first, or correct the row",
    Verdict.IN_DOUBT: "`rehouse status SLUG --errors` shows what is wrong; correct it, then run `rehouse finish` again",
    Verdict.HOME_UNSEEN: "run the same command again",
    Verdict.HOME_MISSING: "the source is the only copy: copy it to where the row points, or delete the row",
    Verdict.LAST_COPY: "if the document was deleted on purpose, delete the source and run finish again; else restore the row",
    Verdict.SHARED_SOURCE: "correct the other document that has this source, then run the same command again",
    Verdict.HOME_CHANGED: "if the object in the tenant's bucket is right, write its ETag into the row's etag column",
}


@dataclass(frozen=True, slots=True)
class FlippedDocument:
    """A flipped document: its record in the ledger, and what else is known.

    `fault`: the error code in the ledger. `points_to_target`: its row still points to where the flip pointed it; `row_etag` is the
    ETag in that row. `home`: the object at the target, as seen in this run; `home_fault`: why S3 did not show it. `is_pointed_at`:
    a row of any tenant points to the source, or another document with the same source waits for its flip. `is_row_gone`: its row
    was deleted; then `home_was_deleted` if its object has a delete marker, and `is_source_gone` if the source does not exist.
    """

    document_id: str
    source: ObjectRef
    source_etag: str | None
    source_size: int
    target: ObjectRef
    target_etag: str | None
    fault: str | None
    is_old_enough: bool
    points_to_target: bool
    row_etag: str | None
    is_pointed_at: bool = False
    home: ListedObject | None = None
    home_fault: Fault | None = None
    is_row_gone: bool = False
    home_was_deleted: bool = False
    is_source_gone: bool = False


def judge(flipped: FlippedDocument, shared_buckets: tuple[str, ...]) -> Verdict:
    """Return whether the source may be removed, or why not.

    The first matching line applies:

    | the document                                                    | verdict        |
    |-----------------------------------------------------------------|----------------|
    | its source is in no shared bucket                               | unknown_bucket |
    | its line has an error, or no ETag of the source                 | in_doubt       |
    | it was flipped less than the grace ago                          | waiting        |
    | a row points to its source, or another document waits for it    | pointed_at     |
    | its row points elsewhere                                        | may_go         |
    | its row is gone: its home object could not be looked at         | home_unseen    |
    | its row is gone: its home object is there, or was deleted       | may_go         |
    | its row is gone: its home object is not there, its source is    | last_copy      |
    | its row is gone: neither is there                               | may_go         |
    | its home object could not be looked at                          | home_unseen    |
    | its home object is not there                                    | home_missing   |
    | its home object is as we copied it                              | may_go         |
    | its home object was written since, and its row says that ETag   | may_go         |
    | its home object was written since, and its row says another one | home_changed   |
    """
    if flipped.source.bucket not in shared_buckets:
        return Verdict.UNKNOWN_BUCKET
    if flipped.fault is not None or flipped.source_etag is None:
        return Verdict.IN_DOUBT
    if not flipped.is_old_enough:
        return Verdict.WAITING
    if flipped.is_pointed_at:
        return Verdict.POINTED_AT
    if flipped.is_row_gone:
        return _judge_without_row(flipped)
    return _judge_by_home(flipped) if flipped.points_to_target else Verdict.MAY_GO


def judge_beside_others(
    flipped: FlippedDocument, shared_buckets: tuple[str, ...], needed: Container[ObjectRef]
) -> Verdict:
    """Return the verdict on a source that other documents may have too. `needed`: the sources that must stay for one of them.

    | alone (see `judge`) | its source is needed | verdict       |
    |---------------------|----------------------|---------------|
    | may_go              | yes                  | shared_source |
    | may_go              | no                   | may_go        |
    | any other           | yes or no            | as alone      |
    """
    verdict = judge(flipped, shared_buckets)
    return Verdict.SHARED_SOURCE if verdict is Verdict.MAY_GO and flipped.source in needed else verdict


def is_proven(flipped: FlippedDocument) -> bool:
    """Return whether the object at the target is our copy, or a later object whose ETag the row knows."""
    return flipped.home is not None and (
        flipped.home.etag == flipped.target_etag or (flipped.points_to_target and flipped.home.etag == flipped.row_etag)
    )


def may_be_put_back(flipped: FlippedDocument) -> bool:
    """Return whether the target may be copied back to the source, to which a row points again.

    The first matching line applies:

    | the object at the target                              | may be put back |
    |-------------------------------------------------------|-----------------|
    | is not there, or could not be looked at               | no              |
    | is as we copied it                                    | yes             |
    | anything else, such as what its row says              | no              |

    An object that was written to the home later was never at the source. A row that points there, perhaps of another tenant, must
    not get it.
    """
    return flipped.home is not None and flipped.home.etag == flipped.target_etag


def _judge_by_home(flipped: FlippedDocument) -> Verdict:
    if flipped.home_fault is not None:
        return Verdict.HOME_UNSEEN
    if flipped.home is None:
        return Verdict.HOME_MISSING
    return Verdict.MAY_GO if is_proven(flipped) else Verdict.HOME_CHANGED


def _judge_without_row(flipped: FlippedDocument) -> Verdict:
    """Judge a document whose row is missing: it was deleted, or it never was in this table (a wrong mapping)."""
    if flipped.home_fault is not None:
        return Verdict.HOME_UNSEEN
    is_safe = flipped.home is not None or flipped.home_was_deleted or flipped.is_source_gone
    return Verdict.MAY_GO if is_safe else Verdict.LAST_COPY


def describe_shorter_grace(grace: timedelta, usual: timedelta) -> str | None:
    """Return a sentence about the risk of a shorter grace than usual.

    None if the grace is not shorter.
    """
    if grace >= usual:
        return None
    early = spell_duration(grace) if grace else "at once"
    return (
        f"sources are removed {early} instead of {spell_duration(usual)} after the flip: older pointers, cached "
        "buckets and presigned URLs may still be in use. A download through one of them fails; a write through one is not "
        "visible before the next sweep"
    )


def describe_finality(versionings: Collection[str]) -> str:
    """Return what cannot be undone after a removal from shared buckets with these versionings.

    >>> describe_finality(["enabled"])
    'There is no rollback afterwards; only the older versions that the shared bucket keeps still have the objects.'
    >>> describe_finality(["enabled", "off"]), describe_finality([])
    ('There is no rollback afterwards, and the removed objects cannot be restored.', 'There is no rollback afterwards.')
    """
    if not versionings:
        return "There is no rollback afterwards."
    if {*versionings} == {"enabled"}:
        return "There is no rollback afterwards; only the older versions that the shared bucket keeps still have the objects."
    return "There is no rollback afterwards, and the removed objects cannot be restored."


def detail_of(flipped: FlippedDocument, verdict: Verdict) -> str:
    """Return why a source stays, as a sentence."""
    home = f"{flipped.target.bucket}/{flipped.target.key}"
    told = {
        Verdict.WAITING: "it was flipped less than the grace ago",
        Verdict.UNKNOWN_BUCKET: f"{flipped.source.bucket} is not one of the shared buckets",
        Verdict.POINTED_AT: "a row still points to the source, or another document waits to be moved from it",
        Verdict.IN_DOUBT: f"the ledger records {flipped.fault or 'no ETag of the source'} for it",
        Verdict.HOME_UNSEEN: f"{home} could not be read: {flipped.home_fault.message if flipped.home_fault else ''}",
        Verdict.HOME_MISSING: f"its row points to {home}, and there is no object",
        Verdict.LAST_COPY: f"its row was deleted, and {home} holds neither an object nor a delete marker",
        Verdict.SHARED_SOURCE: "another document has the same source, and the source must stay for that one",
        Verdict.HOME_CHANGED: f"{home} was overwritten after the copy, and its row has another ETag",
    }
    return told.get(verdict, "it may go")
