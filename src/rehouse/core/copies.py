"""Decide what a migration does for each document: copy it, or not, and why.

Pure functions: they take what S3 and the ledger say and return a Decision.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rehouse.core.archiving import archived_detail, is_archived
from rehouse.core.lifecycle import STATES, DocumentState
from rehouse.core.model import CopyTask, Document, ListedObject, ObjectRef
from rehouse.core.naming import MAX_KEY_BYTES, key_problem, target_folder, target_key
from rehouse.core.pricing import LISTED_PER_REQUEST

MADE = frozenset({*STATES["moved"], DocumentState.COPIED, DocumentState.SUPERSEDED})
"""The states in which the ledger records a copy that S3 answered."""


class Standing(StrEnum):
    """What a migration has to do for one document."""

    NO_KEY = "no_key"
    AT_HOME = "at_home"
    NOT_UPLOADED = "not_uploaded"
    QUARANTINED = "quarantined"
    ACCEPTED = "accepted"
    COPIED = "copied"
    ADOPT = "adopt"
    TO_COPY = "to_copy"


class Reason(StrEnum):
    """Why a document is in quarantine, that is, must not be copied in its present state."""

    MISSING_OBJECT = "missing_object"
    ONLY_AT_HOME = "only_at_home"
    OTHER_SPELLING = "other_spelling"
    OTHER_TENANTS_OBJECT = "other_tenants_object"
    UNKNOWN_BUCKET = "unknown_bucket"
    INVALID_KEY = "invalid_key"
    ARCHIVED = "archived"
    TARGET_TAKEN = "target_taken"


HINTS = {
    Reason.MISSING_OBJECT: "restore the object from a backup, or delete the row, or accept it",
    Reason.ONLY_AT_HOME: "if the object in the tenant's bucket is this document's, write its bucket and key into the row's "
    "s3_bucket and s3_key; else restore the object from a backup, delete the row, or accept it",
    Reason.OTHER_SPELLING: "find out which of the two keys the application reads; if both mean this document, write the object's "
    "key into the row's s3_key, or copy the object to the row's key, or accept it",
    Reason.OTHER_TENANTS_OBJECT: "decide which tenant owns the object: give the other row an object of its own, or accept this one",
    Reason.UNKNOWN_BUCKET: "add the bucket to REHOUSE_SHARED_BUCKET, or correct the row's s3_bucket",
    Reason.INVALID_KEY: "correct the row's s3_key",
    Reason.ARCHIVED: "restore the object (the command is in the message), wait until S3 shows it restored, which takes hours, and "
    "run the same command again before the restore expires",
    Reason.TARGET_TAKEN: "run the same command again: the application may have been writing there; if the problem stays, the "
    "object there may be a late write that is newer than the row's: compare the two, keep the right one, and move the other away",
}


ABSENT = frozenset({Reason.MISSING_OBJECT, Reason.OTHER_SPELLING, Reason.ONLY_AT_HOME})
"""The reasons for which the object is not where the row points."""


@dataclass(frozen=True, slots=True)
class Places:
    """The shared buckets, the tenant's home, and how long a key may be.

    A row whose bucket is NULL means the first shared bucket. `is_live`: the application writes to the home, or did before a
    rollback. In a live home rehouse never replaces an object that it did not write.
    """

    shared: tuple[str, ...]
    home: str
    max_key_characters: int = MAX_KEY_BYTES
    is_live: bool = False

    def source_of(self, document: Document) -> ObjectRef:
        """Return where the object is now, according to the row."""
        return ObjectRef(document.bucket or self.shared[0], document.key or "")

    def target_of(self, document: Document, recorded: CopyRecord | None = None) -> ObjectRef:
        """Return where the object is to be copied to.

        In a live home a document returns to its earlier key, if that key is in the document's own folder. If a rollback fetched
        the object from another key (one that the application chose), nothing is known of the object at the usual target key. It
        must not be replaced, so the target is a key with a digest, beside the usual one.
        """
        longest = self.max_key_characters
        former = self._former(recorded) if self.is_live and recorded else None
        if former and former.key.startswith(target_folder(document.id, max_characters=longest)):
            return former
        beside = former.key if former and recorded and former == recorded.source else None
        return ObjectRef(self.home, target_key(document.id, document.name, former=beside, max_characters=longest))

    def _former(self, recorded: CopyRecord) -> ObjectRef | None:
        ends = (recorded.source, recorded.target)
        return next((each for each in ends if each and each.bucket == self.home), None)


@dataclass(frozen=True, slots=True)
class CopyRecord:
    """What the ledger records about a document."""

    state: DocumentState
    source: ObjectRef
    source_etag: str | None
    target: ObjectRef | None
    target_etag: str | None


@dataclass(frozen=True, slots=True)
class CopiedDocument:
    """What the ledger records about a document that was copied.

    `contested`: the object at its source may now belong to another document that reused the key. The other document's row points
    there, or it was moved from there.
    """

    document_id: str
    state: DocumentState
    source: ObjectRef
    source_etag: str | None
    target: ObjectRef
    target_etag: str | None
    contested: bool = False


@dataclass(frozen=True, slots=True)
class SurveyedDocument:
    """Everything known about one document: its row, the objects at both ends, the ledger's record.

    `contested`: a row of another tenant points to the same object. `recorded_now`: this run wrote the ledger's record, so the
    record is newer than any listing. `is_proven`: a comparison showed that the target is a finished copy (`doubt_about`).
    `near`: if the object is missing, the key of an object that no row points to and whose key may be another spelling of this one.
    """

    document: Document
    source: ListedObject | None
    target: ListedObject | None = None
    recorded: CopyRecord | None = None
    contested: bool = False
    recorded_now: bool = False
    is_proven: bool = False
    near: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A document's standing, with the reason for QUARANTINED and the task for COPIED, ADOPT and TO_COPY."""

    standing: Standing
    reason: Reason | None = None
    detail: str = ""
    task: CopyTask | None = None


def decide(seen: SurveyedDocument, places: Places, *, now: datetime, upload_window: timedelta) -> Decision:
    """Return what to do for one document. The first matching line applies:

    | the document                                            | standing                         |
    |---------------------------------------------------------|----------------------------------|
    | its row has no key                                      | no_key                           |
    | its row points into its home                            | at_home                          |
    | accepted, and its row as it was then                    | accepted                         |
    | its bucket is neither shared nor home                   | quarantined, unknown_bucket      |
    | no object, and its key can be no key of S3              | quarantined, invalid_key         |
    | no object, and the ledger took the one at home for it   | copied                           |
    | no object, but the ledger's copy of it is at home       | adopt                            |
    | no object, but the one at home has the MD5 of the row   | adopt                            |
    | no object, its row younger than the upload window       | not_uploaded                     |
    | no object, but one of another spelling that is free     | quarantined, other_spelling      |
    | no object, but one at home that nothing proves          | quarantined, only_at_home        |
    | no object                                               | quarantined, missing_object      |
    | another tenant's row points to its object               | quarantined, other_tenants_object|
    | its object is archived now                              | quarantined, archived            |
    | the ledger's copy is of this source and stands          | copied                           |
    | the target has the same MD5 and size and is newer       | adopt                            |
    | a comparison proves that the target is a finished copy  | adopt                            |
    | in a live home, something at the target that is not ours| quarantined, target_taken        |
    | anything else                                           | to_copy                          |
    """
    document = seen.document
    if not document.key:
        return Decision(Standing.NO_KEY)
    source = places.source_of(document)
    if source.bucket == places.home:
        return Decision(Standing.AT_HOME)
    if _is_accepted(seen.recorded, source):
        return Decision(Standing.ACCEPTED)
    if kept := _decide_kept_at_home(seen, source, places):
        return kept
    reason, detail = _obstacle(seen, source, places)
    if reason in ABSENT and _is_young(document, now, upload_window):
        return Decision(Standing.NOT_UPLOADED, detail="its upload has not arrived yet")
    if reason:
        return Decision(Standing.QUARANTINED, reason, detail)
    assert seen.source is not None
    return _decide_copy(seen, seen.source, source, places)


def may_be_kept_at_home(seen: SurveyedDocument, places: Places) -> bool:
    """Return whether an object at home may be the only one of the document: where its row points is none.

    A database that was restored from an old dump has such rows, if the sources were removed since. If another tenant's row points
    to the same key as well, it is not known whose object was there.
    """
    source = places.source_of(seen.document)
    is_absent = seen.source is None and source.bucket in places.shared and not seen.contested
    return is_absent and seen.document.key_fault is None and key_problem(source.key) is None


def _decide_kept_at_home(seen: SurveyedDocument, source: ObjectRef, places: Places) -> Decision | None:
    """Return the decision for a document whose only object is proven to be at home. Its task has no ETag of a source."""
    target = places.target_of(seen.document, seen.recorded)
    etag = _etag_at_target(seen, target)
    if etag is None or not may_be_kept_at_home(seen, places):
        return None
    if _is_taken_for_it(seen.recorded, source, target, etag):
        size = seen.target.size if seen.target else 0
        return Decision(Standing.COPIED, task=CopyTask(seen.document.id, source, "", size, "", target))
    if seen.target is None or seen.recorded_now:
        return None
    is_proven = _is_recorded_copy(seen.recorded, source, target, etag) or _has_md5_of_row(seen.document, etag)
    size, storage_class = seen.target.size, seen.target.storage_class
    task = CopyTask(seen.document.id, source, "", size, storage_class, target)
    return Decision(Standing.ADOPT, task=task) if is_proven else None


def _is_taken_for_it(recorded: CopyRecord | None, source: ObjectRef, target: ObjectRef, etag: str) -> bool:
    if recorded is None or recorded.state is not DocumentState.COPIED or recorded.source_etag is not None:
        return False
    return (recorded.source, recorded.target, recorded.target_etag) == (source, target, etag)


def _is_recorded_copy(recorded: CopyRecord | None, source: ObjectRef, target: ObjectRef, etag: str) -> bool:
    if recorded is None or recorded.state not in MADE or recorded.source_etag is None:
        return False
    return (recorded.source, recorded.target, recorded.target_etag) == (source, target, etag)


def _has_md5_of_row(document: Document, etag: str) -> bool:
    return is_md5(etag) and document.etag is not None and document.etag.strip('"') == etag


def _obstacle(seen: SurveyedDocument, source: ObjectRef, places: Places) -> tuple[Reason | None, str]:
    if source.bucket not in places.shared:
        return Reason.UNKNOWN_BUCKET, f"the bucket {source.bucket} is neither shared nor the tenant's home"
    if seen.source is None:
        if seen.near is None and seen.target is not None and may_be_kept_at_home(seen, places):
            return Reason.ONLY_AT_HOME, _unproven_detail(
                source, places.target_of(seen.document, seen.recorded), seen.target
            )
        return _absence(seen.document, source, seen.near)
    if seen.contested:
        return Reason.OTHER_TENANTS_OBJECT, "a row of another tenant points to the same object"
    if is_archived(seen.source.storage_class):
        return Reason.ARCHIVED, archived_detail(seen.source.storage_class, source.bucket, source.key)
    return None, ""


def _absence(document: Document, source: ObjectRef, near: str | None) -> tuple[Reason, str]:
    if document.key_fault is not None:
        return Reason.INVALID_KEY, f"the key cannot be used: {document.key_fault}"
    nearby = "" if near is None else f"; an object that no row points to is at {_quote_distinctly(near, source.key)}"
    problem = key_problem(source.key)
    if problem:
        return Reason.INVALID_KEY, f"the key cannot be used: {problem}{nearby}"
    reason = Reason.MISSING_OBJECT if near is None else Reason.OTHER_SPELLING
    return reason, f"there is no object {source.key!r} in {source.bucket}{nearby}"


def _unproven_detail(source: ObjectRef, home: ObjectRef, found: ListedObject) -> str:
    return (
        f"there is no object {source.key!r} in {source.bucket}; {home.bucket} holds one at {home.key!r} ({found.size:,} bytes, "
        f"written {found.modified_at:%Y-%m-%d %H:%M} UTC), and nothing proves that it is this document"
    )


def _quote_distinctly(key: str, other: str) -> str:
    """Quote a key; escape its non-ASCII characters if it looks the same as the other key."""
    is_alike = unicodedata.normalize("NFC", key) == unicodedata.normalize("NFC", other)
    return ascii(key) if is_alike else repr(key)


def _decide_copy(seen: SurveyedDocument, found: ListedObject, source: ObjectRef, places: Places) -> Decision:
    target = places.target_of(seen.document, seen.recorded)
    there = _etag_at_target(seen, target)
    task = CopyTask(
        document_id=seen.document.id,
        source=source,
        source_etag=found.etag,
        size=found.size,
        storage_class=found.storage_class,
        target=target,
        replaces_etag=there,
    )
    if _is_copied(seen.recorded, source, found, target, there):
        return Decision(Standing.COPIED, task=task)
    if seen.target is not None and not seen.recorded_now and (is_adoptable(found, seen.target) or seen.is_proven):
        return Decision(Standing.ADOPT, task=task)
    if places.is_live and there is not None and not _is_ours(seen.recorded, target, there):
        return Decision(
            Standing.QUARANTINED, Reason.TARGET_TAKEN, f"something else is at {target.key} in {target.bucket}"
        )
    return Decision(Standing.TO_COPY, task=task)


def _etag_at_target(seen: SurveyedDocument, target: ObjectRef) -> str | None:
    if seen.recorded_now and seen.recorded is not None and seen.recorded.target == target:
        return seen.recorded.target_etag
    return seen.target.etag if seen.target else None


def _is_ours(recorded: CopyRecord | None, target: ObjectRef, there: str) -> bool:
    """Return whether the object at the target is our earlier copy, or the object from which a rollback copied back."""
    if recorded is None:
        return False
    return recorded.target_etag == there or (recorded.source == target and recorded.source_etag == there)


def _is_copied(
    recorded: CopyRecord | None, source: ObjectRef, found: ListedObject, target: ObjectRef, there: str | None
) -> bool:
    return (
        recorded is not None
        and recorded.state is DocumentState.COPIED
        and (recorded.source, recorded.source_etag) == (source, found.etag)
        and recorded.target == target
        and recorded.target_etag is not None
        and recorded.target_etag == there
    )


def is_adoptable(source: ListedObject, target: ListedObject) -> bool:
    """Return whether an object found at the target is certainly a finished copy of the present source.

    Both ETags must be equal MD5s, the sizes equal, and the target newer than the source. A target that is older may be a copy
    from before the source was written again with the same bytes but other metadata.
    """
    return (
        is_md5(source.etag)
        and source.etag == target.etag
        and source.size == target.size
        and target.modified_at > source.modified_at
    )


def is_md5(etag: str) -> bool:
    """Return whether an ETag has the form of an MD5.

    The ETag of a multipart upload has a hyphen. The ETag of an object under SSE-KMS has this form but is not an MD5. So equal
    ETags prove that the bytes are equal, but different ETags do not prove that the bytes differ.
    """
    return len(etag) == 32 and all(char in "0123456789abcdef" for char in etag)


def _is_accepted(recorded: CopyRecord | None, source: ObjectRef) -> bool:
    return recorded is not None and recorded.state is DocumentState.ACCEPTED and recorded.source == source


def _is_young(document: Document, now: datetime, upload_window: timedelta) -> bool:
    return document.uploaded_at is not None and now - document.uploaded_at < upload_window


def is_listing_cheaper(heads: int, objects: int) -> bool:
    """Return whether listing `objects` objects takes no more requests than `heads` HEADs.

    >>> is_listing_cheaper(2, 2000), is_listing_cheaper(2, 2001)
    (True, False)
    """
    return heads * LISTED_PER_REQUEST >= objects
