"""Can an object be read now? What S3 says of its class, its archive tier and its restoration, as one word: the class now.

Archived is what S3 says at this moment, not what the storage class is called: a restored object of Glacier can be read until
its restore expires, and an object of Intelligent-Tiering may lie in an archive tier, which a listing does not show.
"""

from __future__ import annotations

import shlex

TIERED_CLASS = "INTELLIGENT_TIERING"
ARCHIVED_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE", "ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"})
"""Classes, and tiers of Intelligent-Tiering, that CopyObject cannot read before a restore (S3 API Reference, CopyObject)."""
RESTORED_CLASSES = frozenset({"GLACIER_RESTORED", "DEEP_ARCHIVE_RESTORED"})
"""Our own words for an archived object of which a readable copy exists for some days."""
ARCHIVED_CODES = frozenset({"InvalidObjectState", "ObjectNotInActiveTierError"})
"""What a copy of an archived object is answered with (S3 API Reference, error responses)."""


def class_now(storage_class: str, *, archive_tier: str = "", is_restored: bool = False) -> str:
    """Return the class that says whether an object can be read now.

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
    """Return the class to ask for a copy, empty where S3's default will do. A copy must be readable at once.

    >>> class_of_copy("STANDARD_IA"), class_of_copy("GLACIER_RESTORED"), class_of_copy("STANDARD")
    ('STANDARD_IA', 'STANDARD', '')
    """
    if class_now in ARCHIVED_CLASSES | RESTORED_CLASSES:
        return "STANDARD"  # said, because some servers else keep the source's class
    return "" if class_now == "STANDARD" else class_now


def is_archived(class_now: str) -> bool:
    """Return whether a copy has to wait for a restore."""
    return class_now in ARCHIVED_CLASSES


def archived_detail(class_now: str, bucket: str, key: str) -> str:
    """Return the sentence about an archived object, with the command that restores it.

    `class_now` is what was known before S3 refused the copy, perhaps a class that is readable.
    """
    is_tier = class_now in {"ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS", TIERED_CLASS}
    what = f"in an archive tier of {TIERED_CLASS}" if is_tier else class_now
    if class_now in RESTORED_CLASSES:
        what = f"{class_now.removesuffix('_RESTORED')}, its restore has expired"
    request = "{}" if is_tier else "Days=7"
    place = f"--bucket {bucket} --key {shlex.quote(key)}"
    return f"the object is archived ({what}); to restore it: aws s3api restore-object {place} --restore-request '{request}'"
