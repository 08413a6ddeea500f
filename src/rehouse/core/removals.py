"""May the source of a flipped document be removed? A truth table; what S3 and the ledger say comes in, a verdict goes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from rehouse.core.durations import spelled
from rehouse.core.model import Fault, ListedObject, ObjectRef

SUSPENDED = "suspended: a DELETE destroys the null version of an object, which may be its only one"
"""How reports describe the versioning of a shared bucket that is suspended."""


class Verdict(StrEnum):
    """Whether a source may go, or why it stays."""

    MAY_GO = "may_go"
    WAITING = "waiting"
    UNKNOWN_BUCKET = "unknown_bucket"
    IN_DOUBT = "in_doubt"
    POINTED_AT = "pointed_at"
    HOME_UNSEEN = "home_unseen"
    HOME_MISSING = "home_missing"
    HOME_CHANGED = "home_changed"
    LAST_COPY = "last_copy"


HINTS = {
    Verdict.UNKNOWN_BUCKET: "name the bucket in REHOUSE_SHARED_BUCKET, if it is one of the shared ones",
    Verdict.POINTED_AT: "that row's document has to move first: migrate its tenant, or correct the row",
    Verdict.IN_DOUBT: "`rehouse status` with the tenant's slug says what is wrong with it; put it right, then finish again",
    Verdict.HOME_UNSEEN: "run the same command again",
    Verdict.HOME_MISSING: "the source is the only copy left: copy it back to where the row points, or delete the row",
    Verdict.LAST_COPY: "if the document was deleted on purpose, delete the source yourself and finish again; else restore the row",
    Verdict.HOME_CHANGED: "if the object in the tenant's bucket is right, write its ETag into the row's etag column",
}


@dataclass(frozen=True, slots=True)
class Flipped:
    """A flipped document as the ledger has it, with what else is known of it.

    `fault`: the code that its line carries. `points_to_target`: its row is where the flip put it, `row_etag` is that row's.
    `home` is the object there as seen in this run, `home_fault` why it could not be seen. `is_pointed_at`: a row of any
    tenant points to the source, or another document that waits for its flip has the same source. For a
    document whose row is gone (`is_row_gone`): `home_was_deleted` if a delete marker is in the place of its object,
    `is_source_gone` if nothing is left to remove.
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


def judge(flipped: Flipped, shared_buckets: tuple[str, ...]) -> Verdict:
    """Return whether the source may be removed. The first line that fits holds:

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
        return _by_what_is_left(flipped)
    return _by_home(flipped) if flipped.points_to_target else Verdict.MAY_GO


def is_proven(flipped: Flipped) -> bool:
    """Return whether the object at the document's target is our copy, or what its row says was written there since."""
    return flipped.home is not None and (
        flipped.home.etag == flipped.target_etag or (flipped.points_to_target and flipped.home.etag == flipped.row_etag)
    )


def may_be_put_back(flipped: Flipped) -> bool:
    """Return whether the object at the document's target may go back to its source, where a row points again. The first line
    that fits holds:

    | the object at the target                              | may be put back |
    |-------------------------------------------------------|-----------------|
    | is not there, or could not be looked at               | no              |
    | is as we copied it                                    | yes             |
    | anything else, such as what its row says              | no              |

    What was written at home since never was at the source: whoever points there, another tenant perhaps, would read it.
    """
    return flipped.home is not None and flipped.home.etag == flipped.target_etag


def _by_home(flipped: Flipped) -> Verdict:
    if flipped.home_fault is not None:
        return Verdict.HOME_UNSEEN
    if flipped.home is None:
        return Verdict.HOME_MISSING
    return Verdict.MAY_GO if is_proven(flipped) else Verdict.HOME_CHANGED


def _by_what_is_left(flipped: Flipped) -> Verdict:
    """A row is missing because its document was deleted, or because this is not the table that the document was in."""
    if flipped.home_fault is not None:
        return Verdict.HOME_UNSEEN
    is_safe = flipped.home is not None or flipped.home_was_deleted or flipped.is_source_gone
    return Verdict.MAY_GO if is_safe else Verdict.LAST_COPY


def given_up(grace: timedelta, usual: timedelta) -> str | None:
    """Return what a grace shorter than the usual one gives up, as a sentence; None if it is not shorter."""
    if grace >= usual:
        return None
    early = spelled(grace) if grace else "at once"
    return (
        f"sources go {early} instead of {spelled(usual)} after the flip: pointers, cached homes and presigned URLs "
        "that were read or granted before may still be used; a download through one of them fails, and a write through one "
        "lands where nobody reads it before the next sweep"
    )


def detail_of(flipped: Flipped, verdict: Verdict) -> str:
    """Return why a source stays, as a sentence."""
    home = f"{flipped.target.bucket}/{flipped.target.key}"
    told = {
        Verdict.WAITING: "it was flipped less than the grace ago",
        Verdict.UNKNOWN_BUCKET: f"{flipped.source.bucket} is none of the shared buckets",
        Verdict.POINTED_AT: "a row still points to the source, or another document waits to be moved from it",
        Verdict.IN_DOUBT: f"its line in the ledger says {flipped.fault or 'no ETag of the source'}",
        Verdict.HOME_UNSEEN: f"{home} could not be looked at: {flipped.home_fault.message if flipped.home_fault else ''}",
        Verdict.HOME_MISSING: f"its row points to {home}, and nothing is there",
        Verdict.LAST_COPY: f"its row is gone, nothing is at {home}, and no delete marker says that it was deleted there",
        Verdict.HOME_CHANGED: f"{home} was written since it was copied, and its row does not know of it",
    }
    return told.get(verdict, "it may go")
