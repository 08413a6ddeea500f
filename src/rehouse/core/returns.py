"""Decide how a rollback returns each document from its home to the shared bucket.

Pure functions: they take what S3 and the ledger say. A row returns to its old pointer only if the objects at both ends are the
recorded ones. Otherwise the object at home is copied, always to a key that does not exist. A rollback never overwrites an
object in a shared bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.archiving import archived_detail, is_archived
from rehouse.core.copies import CopyRecord, Places, Reason, is_adoptable
from rehouse.core.late_writes import CONFLICT, describe_object
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyTask, Document, ListedObject, ObjectRef
from rehouse.core.naming import returned_key

ANY_ETAG = "d41d8cd98f00b204e9800998ecf8427e"
"""The ETag of an empty object, for trying an update of a row whose object is unknown."""


class Returning(StrEnum):
    """What a rollback has to do for one document at home."""

    CONFLICT = "conflict"
    STAYS = "stays"
    QUARANTINED = "quarantined"
    OLD_POINTER = "old_pointer"
    COPIED = "copied"
    ADOPT = "adopt"
    TO_COPY = "to_copy"


@dataclass(frozen=True, slots=True)
class WayBack:
    """Where a document came from: the old pointer, and the recorded ETags of the objects there and at home."""

    pointer: ObjectRef
    etag: str
    home_etag: str


@dataclass(frozen=True, slots=True)
class DocumentAtHome:
    """Everything that is known about a document whose row points to its home.

    `found`: the object at home. `there`: the object at the old pointer. `returned`: the objects at the two keys to which it may be
    copied; `proven`: whether a comparison shows that they are finished copies. `was_copied`: the ledger's record is about a copy,
    not only a pointer. `contested`: the object at the old pointer may now belong to another document, because another row points
    there or another record knows a different object there.
    """

    document: Document
    found: ListedObject | None
    recorded: CopyRecord | None = None
    was_copied: bool = False
    error_code: str | None = None
    there: ListedObject | None = None
    contested: bool = False
    returned: tuple[ListedObject | None, ListedObject | None] = (None, None)
    proven: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True)
class ReturnDecision:
    """What a rollback does for a document: the standing, and what belongs to it.

    QUARANTINED has a `reason`. OLD_POINTER, COPIED, ADOPT and TO_COPY have a `task`: its source is the object at home, its target
    is where the row will point. `replaces_etag` is the ETag of the object that is already at the target, or None if the task
    needs a copy.
    """

    standing: Returning
    reason: Reason | None = None
    detail: str = ""
    task: CopyTask | None = None


def way_back(seen: DocumentAtHome, places: Places) -> WayBack | None:
    """Return where the document came from, or None if the ledger does not know.

    The ledger's record is that of the migration, or that of an earlier rollback.
    """
    line, here = seen.recorded, place_of(seen, places)
    if line is None or line.target is None or line.target_etag is None or line.source_etag is None:
        return None
    if line.state is DocumentState.FLIPPED and line.target == here and line.source.bucket in places.shared:
        return WayBack(line.source, line.source_etag, line.target_etag)
    if line.source == here and not seen.was_copied and line.target.bucket in places.shared:
        return WayBack(line.target, line.target_etag, line.source_etag)
    return None


def place_of(seen: DocumentAtHome, places: Places) -> ObjectRef:
    """Return where the document's row points."""
    return ObjectRef(places.home, seen.document.key or "")


def returned_places(seen: DocumentAtHome, places: Places, slug: str) -> tuple[ObjectRef, ObjectRef]:
    """Return the two places in the first shared bucket for a copy of the document, the preferred one first."""
    etag = seen.found.etag if seen.found else ""
    document, longest = seen.document, places.max_key_characters
    first = returned_key(slug, document.id, document.name, max_characters=longest)
    second = returned_key(slug, document.id, document.name, etag=etag, max_characters=longest)
    return ObjectRef(places.shared[0], first), ObjectRef(places.shared[0], second)


def probable_return(seen: DocumentAtHome, places: Places, slug: str, *, is_adopted: bool) -> WayBack | None:
    """Return where a rollback will point the row if no object changed.

    None if it leaves the row alone. This needs no knowledge of objects. It serves to try the update of the row in advance.
    """
    back = way_back(seen, places)
    if seen.error_code == CONFLICT or (is_adopted and _was_never_moved(seen, back, place_of(seen, places))):
        return None
    return back or WayBack(returned_places(seen, places, slug)[0], ANY_ETAG, ANY_ETAG)


def decide_return(seen: DocumentAtHome, places: Places, slug: str, *, is_adopted: bool) -> ReturnDecision:
    """Return what a rollback does for one document at home.

    The first matching line applies:

    | the document                                                     | standing                    |
    |------------------------------------------------------------------|-----------------------------|
    | it was written at both ends, and nobody has decided              | conflict                    |
    | its home was the application's own, and it was not moved there   | stays                       |
    | no object at home                                                | quarantined, missing_object |
    | at home as it was moved, its old object there, changed or not    | old_pointer                 |
    | written at home since, and its old object was written too        | conflict                    |
    | its object at home is archived now                               | quarantined, archived       |
    | copied back already, both objects as they were then              | copied                      |
    | a finished copy at its returned key                              | adopt                       |
    | nothing at its returned key                                      | to_copy                     |
    | a finished copy at the key beside                                | adopt                       |
    | nothing at the key beside                                        | to_copy                     |
    | anything else                                                    | quarantined, target_taken   |

    An old object that changed counts only if it cannot belong to another document. `is_adopted`: the application itself
    had set this home before the migration.
    """
    here = place_of(seen, places)
    if seen.error_code == CONFLICT:
        return ReturnDecision(Returning.CONFLICT, detail="it was written at both ends")
    back = way_back(seen, places)
    if is_adopted and _was_never_moved(seen, back, here):
        return ReturnDecision(Returning.STAYS)
    if seen.found is None:
        detail = f"there is no object {here.key!r} in {here.bucket}"
        return ReturnDecision(Returning.QUARANTINED, Reason.MISSING_OBJECT, detail)
    there = seen.there if back and seen.there and (seen.there.etag == back.etag or not seen.contested) else None
    if back and there and seen.found.etag == back.home_etag:
        task = _task(seen, seen.found, here, back.pointer, there)
        return ReturnDecision(Returning.OLD_POINTER, task=task)
    if back and there and there.etag != back.etag:
        both = describe_object(here, seen.found), describe_object(back.pointer, there)
        detail = f"{both[0]} was written at home, and {both[1]} was written at the old place"
        return ReturnDecision(Returning.CONFLICT, detail=detail)
    if is_archived(seen.found.storage_class):
        detail = archived_detail(seen.found.storage_class, here.bucket, here.key)
        return ReturnDecision(Returning.QUARANTINED, Reason.ARCHIVED, detail)
    return _decide_copy(seen, seen.found, places, slug)


def _was_never_moved(seen: DocumentAtHome, back: WayBack | None, here: ObjectRef) -> bool:
    return back is None and not (seen.recorded and seen.recorded.source == here)


def _decide_copy(seen: DocumentAtHome, found: ListedObject, places: Places, slug: str) -> ReturnDecision:
    here = place_of(seen, places)
    for place, there, is_proven in zip(returned_places(seen, places, slug), seen.returned, seen.proven, strict=True):
        task = _task(seen, found, here, place, there)
        if there is None:
            return ReturnDecision(Returning.TO_COPY, task=task)
        if _is_copied(seen.recorded, task, there):
            return ReturnDecision(Returning.COPIED, task=task)
        if is_adoptable(found, there) or is_proven:
            return ReturnDecision(Returning.ADOPT, task=task)
    detail = f"something else is at {place.key!r} in {place.bucket}"
    return ReturnDecision(Returning.QUARANTINED, Reason.TARGET_TAKEN, detail)


def _task(
    seen: DocumentAtHome, found: ListedObject, here: ObjectRef, target: ObjectRef, there: ListedObject | None
) -> CopyTask:
    return CopyTask(
        document_id=seen.document.id,
        source=here,
        source_etag=found.etag,
        size=there.size if there else found.size,
        storage_class=there.storage_class if there else found.storage_class,
        target=target,
        replaces_etag=there.etag if there else None,
    )


def _is_copied(recorded: CopyRecord | None, task: CopyTask, there: ListedObject) -> bool:
    return (
        recorded is not None
        and recorded.state is DocumentState.COPIED
        and (recorded.source, recorded.source_etag) == (task.source, task.source_etag)
        and (recorded.target, recorded.target_etag) == (task.target, there.etag)
    )
