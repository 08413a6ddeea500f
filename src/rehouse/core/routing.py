"""Decide where a tenant's documents are: which buckets are its own, and whether a row's pointer is its tenant's.

Pure functions. What is not certainly the tenant's is refused. The row is the authority for the key of a read, because rows that
an older tool wrote are kept as they are. Uploads make only our own keys (core.uploads).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from rehouse.core.errors import ForeignPointer, NoSuchDocument
from rehouse.core.model import ObjectRef
from rehouse.core.naming import key_problem

STAGED = re.compile(r"temp/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/")
"""The beginning of the key of an upload that was not confirmed yet."""
_CORRECT = "correct the row's s3_bucket and s3_key"
_INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets that may hold a tenant's documents.

    `home`: the bucket that its row names, None while it is a shared one. `former`: other buckets of its own, such as the home of
    its migration after a rollback. `shared`: the shared buckets that were not removed. `default`: what a row without a bucket
    means, the first shared bucket; None if it was removed.
    """

    home: str | None
    former: frozenset[str]
    shared: tuple[str, ...]
    default: str | None

    @property
    def own(self) -> frozenset[str]:
        """The buckets that are this tenant's alone."""
        return self.former if self.home is None else self.former | {self.home}


class Standing(StrEnum):
    """What a row says about its object."""

    ITS_OWN = "its_own"
    SHARED = "shared"
    NO_OBJECT = "no_object"
    INVALID_KEY = "invalid_key"
    STAGED = "staged"
    NO_BUCKET = "no_bucket"
    FOREIGN = "foreign"


def buckets_of(
    row_bucket: str | None, others: Iterable[str | None], shared: Sequence[str], dropped: Sequence[str] = ()
) -> Buckets:
    """Return a tenant's buckets.

    `row_bucket`: `aws_bucket_name` of its row. `others`: the buckets that the ledger has for this tenant. `dropped`: which of the
    shared buckets were removed. A shared bucket is never a tenant's own, whatever a row says.

    >>> buckets_of("shared", ["acme"], ["shared"])
    Buckets(home=None, former=frozenset({'acme'}), shared=('shared',), default='shared')
    """
    home = row_bucket if row_bucket and row_bucket not in shared else None
    former = {bucket for bucket in others if bucket} - {home, *shared}
    remaining = tuple(bucket for bucket in shared if bucket not in dropped)
    default = next(iter(shared), None)
    return Buckets(home, frozenset(former), remaining, default if default in remaining else None)


def upload_bucket(buckets: Buckets) -> str | None:
    """Return the bucket of new uploads: the home, else the first shared bucket that is left; None if there is none.

    >>> upload_bucket(buckets_of(None, ["acme"], ["shared"]))
    'shared'
    """
    return buckets.home or next(iter(buckets.shared), None)


def judge_pointer(bucket: str | None, key: str | None, buckets: Buckets) -> Standing:
    """Return what the pointer in a tenant's row means.

    | key                            | bucket                               | standing    |
    |--------------------------------|--------------------------------------|-------------|
    | none                           | any                                  | no_object   |
    | none that S3 can have          | any                                  | invalid_key |
    | of an upload not yet confirmed | any                                  | staged      |
    | any other                      | none, the first shared one is left   | shared      |
    | any other                      | none, the first shared one is gone   | no_bucket   |
    | any other                      | the tenant's home                    | its_own     |
    | any other                      | another bucket of the tenant's       | its_own     |
    | any other                      | a shared bucket that is left         | shared      |
    | any other                      | any other                            | foreign     |
    """
    if not key:
        return Standing.NO_OBJECT
    if key_problem(key) is not None:
        return Standing.INVALID_KEY
    if STAGED.match(key):
        return Standing.STAGED
    if not bucket:
        return Standing.SHARED if buckets.default else Standing.NO_BUCKET
    if bucket in buckets.shared:
        return Standing.SHARED
    return Standing.ITS_OWN if bucket == buckets.home or bucket in buckets.former else Standing.FOREIGN


def object_of(bucket: str | None, key: str | None, buckets: Buckets) -> ObjectRef | None:
    """Return the object to which a row points, None unless it is certainly the tenant's."""
    if judge_pointer(bucket, key, buckets) not in {Standing.ITS_OWN, Standing.SHARED}:
        return None
    return ObjectRef(bucket or buckets.default or "", key or "")


def require_object(
    bucket: str | None,
    key: str | None,
    buckets: Buckets,
    *,
    document_id: str,
    tenant: str,
    key_fault: str | None = None,
) -> ObjectRef:
    """Return the object to which a row points. `key_fault`: why the key in the row cannot be one of S3, where that is known.

    Raises NoSuchDocument if the row has no object, ForeignPointer if it is not certainly the tenant's.
    """
    standing = Standing.INVALID_KEY if key_fault else judge_pointer(bucket, key, buckets)
    found = None if key_fault else object_of(bucket, key, buckets)
    if found is not None:
        return found
    subject = f"the document {document_id!r} of the tenant {tenant}"
    if standing is Standing.NO_OBJECT:
        raise NoSuchDocument(
            f"{subject} has no object", hint="nothing was uploaded for it yet, or it was deleted", subject=document_id
        )
    problem, hint = {
        Standing.INVALID_KEY: (f"has a key that S3 cannot have: {key_fault or key_problem(key or '')}", _CORRECT),
        Standing.STAGED: ("points to an upload that was not confirmed", "confirm the upload: that points the row"),
        Standing.NO_BUCKET: ("has no bucket, and the first shared bucket was removed", _CORRECT),
        Standing.FOREIGN: (
            f"points to the bucket {bucket!r}, which is not the tenant's",
            f"{_CORRECT}; if it is a shared bucket, name it in REHOUSE_SHARED_BUCKET",
        ),
    }[standing]
    raise ForeignPointer(f"{subject} {problem}", hint=hint, subject=document_id)


def canonical_id(base_type: str, value: object, *, max_length: int | None = None) -> str | None:
    """Return an id as PostgreSQL writes it; None if no value of the column's type is written so.

    A document's key contains its id, so each id must have one spelling. `base_type` is the SQL type without its length,
    `max_length` the length.

    | type              | value                                | id                                   |
    |-------------------|--------------------------------------|--------------------------------------|
    | integer           | 7                                    | 7                                    |
    | integer           | 007                                  | 7                                    |
    | integer           | 2147483648                           |                                      |
    | integer           | 7.0                                  |                                      |
    | bigint            | 2147483648                           | 2147483648                           |
    | uuid              | 7F3A0000-0000-4000-8000-00000000000A | 7f3a0000-0000-4000-8000-00000000000a |
    | uuid              | 7f3a                                 |                                      |
    | text              | 007                                  | 007                                  |
    | character varying | A/b                                  | A/b                                  |
    | text              |                                      |                                      |
    """
    text = str(value)
    if not text or "\0" in text or any("\ud800" <= char <= "\udfff" for char in text) or isinstance(value, bool):
        return None
    if base_type in _INTEGERS:
        limit = _INTEGERS[base_type]
        is_number = re.fullmatch(r"-?[0-9]{1,20}", text) is not None
        return str(int(text)) if is_number and -limit <= int(text) < limit else None
    if base_type == "uuid":
        try:
            return str(UUID(text))
        except ValueError:
            return None
    return text if max_length is None or len(text) <= max_length else None
