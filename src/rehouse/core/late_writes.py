"""Decide what to do about a late write: an object written where a document was, after the document was moved from there.

Presigned uploads that were granted earlier, and overwrites that do not lock the row, still go to the old place: the source after
a migration, the home after a rollback. rehouse copies such a write to the document if that has not changed since. If it has,
rehouse keeps both and a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rehouse.core.copies import CopiedDocument, is_md5
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import ListedObject, ObjectRef

CONFLICT = "Conflict"
ROW_LOCKED = "RowLocked"
HINTS = {
    CONFLICT: "compare the two objects; to keep the row's, run `rehouse accept`; to keep the other one, copy it over that one",
    ROW_LOCKED: "run the same command again: another transaction had locked the row",
}


class Verdict(StrEnum):
    """What to do about a document that may have received a late write."""

    NOTHING = "nothing"
    COPY = "copy"
    RECORD = "record"
    ADOPT = "adopt"
    CONFLICT = "conflict"


def decide_late_write(
    moved: CopiedDocument,
    row: ObjectRef | None,
    source: ListedObject | None,
    target: ListedObject | None,
    *,
    is_proven: bool = False,
    copied_etag: str | None = None,
) -> Verdict:
    """Return what to do, from the row and the two objects as they are now.

    The first matching line applies:

    | the document                                             | verdict  |
    |----------------------------------------------------------|----------|
    | its row is gone                                          | nothing  |
    | its row points outside the home: it is moved from there  | nothing  |
    | its row points to this run's copy, and it is uncontested | record   |
    | its source is gone                                       | nothing  |
    | its source is as it was copied, and was not removed      | nothing  |
    | its source may be another document's by now              | conflict |
    | its row points to another object of the home             | conflict |
    | its home object is gone                                  | conflict |
    | its home object is as it was copied from a source        | copy     |
    | its home object has the source's MD5 and size            | adopt    |
    | its home object has the source's checksum and size       | adopt    |
    | anything else                                            | conflict |

    `is_proven`: HEADs showed the same checksum at both ends. `copied_etag`: the ETag of the copy that this run made before it
    locked the row. This copy counts even if its source has changed again or is gone.
    """
    if row is None or row.bucket != moved.target.bucket:
        return Verdict.NOTHING
    is_our_copy = target is not None and target.etag == copied_etag
    if is_our_copy and row == moved.target and not moved.contested:
        return Verdict.RECORD
    if source is None:
        return Verdict.NOTHING
    if source.etag == moved.source_etag and moved.state is not DocumentState.REMOVED:
        return Verdict.NOTHING
    if moved.contested or row != moved.target or target is None:
        return Verdict.CONFLICT
    if target.etag == moved.target_etag and moved.source_etag is not None:
        return Verdict.COPY
    is_same = target.size == source.size and (is_proven or (is_md5(source.etag) and source.etag == target.etag))
    return Verdict.ADOPT if is_same else Verdict.CONFLICT


def needs_proof(
    moved: CopiedDocument, source: ListedObject | None, target: ListedObject | None, *, copied_etag: str | None = None
) -> bool:
    """Return whether only checksums can show that the home object is a copy of the source.

    A run that was killed after the copy leaves such an object.
    """
    known = (moved.target_etag if moved.source_etag else None, copied_etag)
    if source is None or target is None or target.etag in known:
        return False
    return source.size == target.size and not (is_md5(source.etag) and source.etag == target.etag)


def conflict_message(moved: CopiedDocument, row: ObjectRef, source: ListedObject, target: ListedObject | None) -> str:
    """Return a sentence that names both objects of a conflict."""
    if moved.contested:
        what = "was written late, or another document, of this or another tenant, reused that key"
        return f"{describe_object(moved.source, source)} {what}"
    if row != moved.target:
        return f"{describe_object(moved.source, source)} was written late, and the row now points to s3://{row.bucket}/{row.key}"
    home = describe_object(moved.target, target) if target else f"s3://{row.bucket}/{row.key}, which no longer exists,"
    return (
        f"{describe_object(moved.source, source)} was written late, and {home} was written by the application as well"
    )


@dataclass(frozen=True, slots=True)
class ReturnedDocument(CopiedDocument):
    """A document that went back, whose object at home may have been written since.

    Its source is the object at home. `contested`: another record of the tenant knows another object there. `given_away`: its row
    now belongs to another tenant.
    """

    name: str = field(kw_only=True)
    given_away: bool = field(kw_only=True)


def decide_late_write_at_home(
    returned: ReturnedDocument,
    row: ObjectRef | None,
    at_home: ListedObject | None,
    there: ListedObject | None,
    *,
    is_copied: bool = False,
) -> Verdict:
    """Return what to do, from the row, the object at home and the one where the document went, as they are now.

    The first matching line applies:

    | the document                                            | verdict  |
    |---------------------------------------------------------|----------|
    | its row is gone, and was not given to another tenant    | nothing  |
    | its object at home is gone                              | nothing  |
    | its object at home is as it was copied back             | nothing  |
    | its object at home may be another document's by now     | conflict |
    | its row points elsewhere                                | conflict |
    | what its row points to is not as it was copied back     | conflict |
    | this run has copied its object at home to a free place  | record   |
    | anything else                                           | copy     |

    `is_copied`: the copy was made from the object at home as it is now, and is still there.
    """
    if row is None and not returned.given_away:
        return Verdict.NOTHING
    if at_home is None or at_home.etag == returned.source_etag:
        return Verdict.NOTHING
    is_as_returned = there is not None and there.etag == returned.target_etag
    if returned.contested or row != returned.target or not is_as_returned:
        return Verdict.CONFLICT
    return Verdict.RECORD if is_copied else Verdict.COPY


def conflict_message_at_home(returned: ReturnedDocument, row: ObjectRef | None, at_home: ListedObject) -> str:
    """Return a sentence that names both objects of a conflict after a rollback."""
    late = f"{describe_object(returned.source, at_home)} was written after its document had gone back"
    if returned.contested:
        return f"{late}, or another document reused that key"
    if row is None:
        return f"{late}, and the document was given to another tenant"
    return f"{late}, and s3://{row.bucket}/{row.key} was overwritten as well"


def describe_object(ref: ObjectRef, found: ListedObject) -> str:
    """Return an object's URL and ETag, for messages."""
    return f"s3://{ref.bucket}/{ref.key} (ETag {found.etag})"
