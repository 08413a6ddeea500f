"""May the source of a flipped document be removed? A truth table; what S3 and the ledger say comes in, a verdict goes out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.model import Fault, ListedObject, ObjectRef


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


HINTS = {
    Verdict.UNKNOWN_BUCKET: "name the bucket in REHOUSE_SHARED_BUCKET, if it is one of the shared ones",
    Verdict.POINTED_AT: "that row's document has to move first: migrate its tenant, or correct the row",
    Verdict.IN_DOUBT: "`rehouse status` with the tenant's slug says what is wrong with it; put it right, then finish again",
    Verdict.HOME_UNSEEN: "run the same command again",
    Verdict.HOME_MISSING: "the source is the only copy left: copy it back to where the row points, or delete the row",
    Verdict.HOME_CHANGED: "if the object in the tenant's bucket is right, write its ETag into the row's etag column",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """A flipped document as the ledger has it, with what else is known of it.

    `fault`: the code that its line carries. `points_to_target`: its row is where the flip put it, `row_etag` is that row's.
    `home` is the object there as seen in this run, `home_fault` why it could not be seen. `is_pointed_at`: a row of any
    tenant points to the source, or another document that waits for its flip has the same source.
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


def judge(moved: Moved, shared_buckets: tuple[str, ...]) -> Verdict:
    """Return whether the source may be removed. The first line that fits holds:

    | the document                                                    | verdict        |
    |-----------------------------------------------------------------|----------------|
    | its source is in no shared bucket                               | unknown_bucket |
    | its line has an error, or no ETag of the source                 | in_doubt       |
    | it was flipped less than the grace ago                          | waiting        |
    | a row points to its source, or another document waits for it    | pointed_at     |
    | its row is gone, or points elsewhere                            | may_go         |
    | its home object could not be looked at                          | home_unseen    |
    | its home object is not there                                    | home_missing   |
    | its home object is as we copied it                              | may_go         |
    | its home object was written since, and its row says that ETag   | may_go         |
    | its home object was written since, and its row says another one | home_changed   |
    """
    if moved.source.bucket not in shared_buckets:
        return Verdict.UNKNOWN_BUCKET
    if moved.fault is not None or moved.source_etag is None:
        return Verdict.IN_DOUBT
    if not moved.is_old_enough:
        return Verdict.WAITING
    if moved.is_pointed_at:
        return Verdict.POINTED_AT
    return _by_home(moved) if moved.points_to_target else Verdict.MAY_GO


def is_proven(moved: Moved) -> bool:
    """Return whether the object at the document's target is our copy, or what its row says was written there since."""
    return moved.home is not None and (
        moved.home.etag == moved.target_etag or (moved.points_to_target and moved.home.etag == moved.row_etag)
    )


def _by_home(moved: Moved) -> Verdict:
    if moved.home_fault is not None:
        return Verdict.HOME_UNSEEN
    if moved.home is None:
        return Verdict.HOME_MISSING
    return Verdict.MAY_GO if is_proven(moved) else Verdict.HOME_CHANGED


def detail_of(moved: Moved, verdict: Verdict) -> str:
    """Return why a source stays, as a sentence."""
    home = f"{moved.target.bucket}/{moved.target.key}"
    told = {
        Verdict.WAITING: "it was flipped less than the grace ago",
        Verdict.UNKNOWN_BUCKET: f"{moved.source.bucket} is none of the shared buckets",
        Verdict.POINTED_AT: "a row still points to the source, or another document waits to be moved from it",
        Verdict.IN_DOUBT: f"its line in the ledger says {moved.fault or 'no ETag of the source'}",
        Verdict.HOME_UNSEEN: f"{home} could not be looked at: {moved.home_fault.message if moved.home_fault else ''}",
        Verdict.HOME_MISSING: f"its row points to {home}, and nothing is there",
        Verdict.HOME_CHANGED: f"{home} was written since it was copied, and its row does not know of it",
    }
    return told.get(verdict, "it may go")
