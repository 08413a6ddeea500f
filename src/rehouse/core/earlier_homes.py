"""Decide whether a bucket that was made for a tenant may hold what the shared bucket does not.

It is about a bucket that the database does not name. If a dump was restored, the bucket holds copies that are newer than their
sources, and perhaps the only ones. If the application wrote every document to the shared bucket again, nobody needs the bucket.
"""

from __future__ import annotations

from rehouse.core.model import ListedObject


def is_outdated(copy: ListedObject, source: ListedObject | None) -> bool:
    """Return whether the document's source was written after the object in the earlier bucket.

    S3 shows whole seconds. A source of the same second and size counts as later: nobody can have copied and overwritten it since.

    | the source               | outdated |
    |--------------------------|----------|
    | missing                  | no       |
    | older than the object    | no       |
    | the same second and size | yes      |
    | newer than the object    | yes      |
    """
    if source is None:
        return False
    written, copied = source.modified_at.replace(microsecond=0), copy.modified_at.replace(microsecond=0)
    return written > copied or (written == copied and source.size == copy.size)
