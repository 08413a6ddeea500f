"""Whether an object can be read now: its storage class, archive tier and restore status as one "class now".

The storage class alone does not say whether an object is archived. A restored Glacier object can be read until its restore
expires. An Intelligent-Tiering object may be in an archive tier, which a listing does not show.
"""

from __future__ import annotations

import shlex

TIERED_CLASS = "INTELLIGENT_TIERING"
ARCHIVED_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"})
"""Classes, and tiers of Intelligent-Tiering, that CopyObject cannot read before a restore (S3 API Reference, CopyObject)."""
RESTORED_CLASSES = frozenset({"GLACIER_RESTORED", "DEEP_ARCHIVE_RESTORED"})
"""rehouse's own names for an archived object that has a temporary readable copy."""
ARCHIVED_CODES = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
"""The errors with which S3 refuses to copy an archived object (S3 API Reference, error responses)."""


def class_now(storage_class: str, *, archive_tier: str = "", is_restored: bool = False) -> str:
    """Return the "class now", which shows whether the object can be read.

    >>> class_now("GLACIER"), class_now("GLACIER", is_restored=True)
    ('GLACIER', 'GLACIER_RESTORED')
    >>> class_now("INTELLIGENT_TIERING", archive_tier="ARCHIVE_ACCESS")
    'ARCHIVE_ACCESS'
    """
    if archive_tier in ARCHIVED_CLASSES:
        return archive_tier
    if not is_restored:
        return storage_class
    restored = f"{storage_class}_RESTORED"
    return restored if restored in RESTORED_CLASSES else storage_class


def class_of_copy(class_now: str) -> str:
    """Return the storage class to request for a copy; empty if S3's default is right.

    A copy must be readable at once, so the copy of a restored object becomes STANDARD.

    >>> class_of_copy("STANDARD_IA"), class_of_copy("GLACIER_RESTORED"), class_of_copy("STANDARD")
    ('STANDARD_IA', 'STANDARD', '')
    """
    if class_now in ARCHIVED_CLASSES | RESTORED_CLASSES:
        return "STANDARD"  # explicit: some servers would keep the source's class
    return "" if class_now == "STANDARD" else class_now


def is_archived(class_now: str) -> bool:
    """Return whether the object is archived, so that a copy has to wait for a restore."""
    return class_now in ARCHIVED_CLASSES


def archived_detail(class_now: str, bucket: str, key: str) -> str:
    """Return a sentence about an archived object, with the command that restores it.

    `class_now` is what rehouse knew before S3 refused the copy, so it may be a readable class.
    """
    is_tier = class_now in {"ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS", TIERED_CLASS}
    what = f"in an archive tier of {TIERED_CLASS}" if is_tier else class_now
    if class_now in RESTORED_CLASSES:
        what = f"{class_now.removesuffix('_RESTORED')}, its restore has expired"
    request = "{}" if is_tier else "Days=7"
    place = f"--bucket {bucket} --key {shlex.quote(key)}"
    return f"the object is archived ({what}); to restore it: aws s3api restore-object {place} --restore-request '{request}'"
