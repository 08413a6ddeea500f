"""Decide what must be compared to learn whether an object is a finished copy that a killed run could not record.

A listing shows times in whole seconds, and no tags. What it proves by itself is in `copies.is_adoptable`.
"""

from __future__ import annotations

from enum import StrEnum

from rehouse.core.copies import CopyRecord, is_md5
from rehouse.core.model import ListedObject


class Doubt(StrEnum):
    """What must be compared to learn whether an object is a finished copy that the ledger does not know.

    `ALL`: the bytes, by MD5 or checksum, and the content headers, the user metadata and the tags.
    """

    NONE = "none"
    BYTES = "bytes"
    ALL = "all"


def doubt_about(source: ListedObject, target: ListedObject, recorded: CopyRecord | None = None) -> Doubt:
    """Return what must be compared to learn whether the target is a finished copy of the source.

    The first matching line applies:

    | the two                                                         | compare |
    |-----------------------------------------------------------------|---------|
    | have other sizes, or the target is the older one                | none    |
    | the target has the ETag of the copy that the ledger knows of    | none    |
    | were written in the same second: either may be the older one    | all     |
    | the target was made in parts: its tags are set afterwards       | all     |
    | their ETags have the form of MD5s and are equal                 | none    |
    | anything else: an ETag of KMS may have the form of an MD5       | bytes   |
    """
    if source.size != target.size or target.modified_at < source.modified_at:
        return Doubt.NONE
    if recorded is not None and recorded.target_etag == target.etag:
        return Doubt.NONE
    if target.modified_at == source.modified_at or is_in_parts(target.etag):
        return Doubt.ALL
    return Doubt.NONE if is_md5(source.etag) and source.etag == target.etag else Doubt.BYTES


def is_in_parts(etag: str) -> bool:
    """Return whether an ETag is that of an object that was uploaded or copied in parts."""
    return "-" in etag
