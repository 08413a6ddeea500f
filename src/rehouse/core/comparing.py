"""Whether two objects are the same, as a truth table, and the merge of two listings.

Nothing here sends a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from rehouse.core.copies import is_md5
from rehouse.core.model import Fault, ListedObject

Left = TypeVar("Left")


class Proof(StrEnum):
    """What proves that source and target are the same, in order of preference.

    `ROW`: rehouse did not copy the object, so there is no source; the object exists and has its row's ETag, if the row has one.
    """

    S3_COPY = "s3_copy"
    ROW = "row"
    MD5 = "md5"
    CHECKSUM = "checksum"
    BYTES = "bytes"


class Finding(StrEnum):
    """The result of a comparison."""

    SAME = "same"
    DIFFERENT = "different"
    MISSING = "missing"
    COULD_NOT_CHECK = "could_not_check"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the target must be: the source's ETag and size (in bytes) when it was copied.

    `answered_etag` is the ETag with which S3 answered the copy, or None if rehouse did not make the object. `source_etag` is None
    for a document that was uploaded to the home; `answered_etag` is then the ETag in its row.
    """

    source_etag: str | None
    size: int | None
    answered_etag: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finding, with its proof if it is SAME, else with a sentence.

    `fault`: S3's error, if the comparison failed because S3 refused to answer about one of the two objects.
    """

    finding: Finding
    proof: Proof | None = None
    detail: str = ""
    fault: Fault | None = None


_SAME = {proof: Comparison(Finding.SAME, proof) for proof in Proof}
"""Created once and shared, because nearly every document is the same."""


def compare(expected: Expected, found: ListedObject | None) -> Comparison:
    """Compare by what a listing shows. The first matching line applies:

    | the listing                                                  | finding                |
    |--------------------------------------------------------------|------------------------|
    | has no such object                                           | missing                |
    | another size than the source                                 | different              |
    | another ETag than S3 answered to our copy, or its row says   | different              |
    | what it should, and there is no source: born at home         | same, by its row       |
    | the ETag that S3 answered to our conditional copy            | same, by S3's own copy |
    | both ETags are MD5s and equal                                | same, by MD5           |
    | anything else (a KMS ETag may have the form of an MD5)       | could not check        |
    """
    if found is None:
        return Comparison(Finding.MISSING, detail="the object is not there")
    if expected.size is not None and expected.size != found.size:
        return Comparison(Finding.DIFFERENT, detail=f"{found.size} bytes instead of {expected.size}")
    if expected.answered_etag not in (None, found.etag):
        return Comparison(Finding.DIFFERENT, detail=f"ETag {found.etag} instead of {expected.answered_etag}")
    if expected.source_etag is None:
        return _SAME[Proof.ROW]
    if expected.answered_etag is not None:
        return _SAME[Proof.S3_COPY]
    if is_md5(found.etag) and expected.source_etag == found.etag:
        return _SAME[Proof.MD5]
    return Comparison(Finding.COULD_NOT_CHECK, detail="the ETags cannot be compared; --deep compares the bytes")


def unseen_side(fault: Fault) -> Comparison:
    """Return the finding of a comparison for which S3 refused to answer about one side."""
    return Comparison(Finding.COULD_NOT_CHECK, detail=f"S3 refused the request about it: {fault.message}", fault=fault)


def compare_checksums(source: dict[str, str], target: dict[str, str]) -> bool | None:
    """Return whether the full-object checksums of both sides agree.

    Return None if no algorithm is on both. Composite checksums (with `-parts` at the end) depend on the part sizes and are ignored.
    """
    common = [name for name in source if name in target and "-" not in source[name] + target[name]]
    return all(source[name] == target[name] for name in common) if common else None


def merge(
    expected: Iterable[tuple[str, Left]], found: Iterable[ListedObject]
) -> Iterator[tuple[str, list[Left], ListedObject | None]]:
    """Merge expected keys with a listing; yield (key, expected, object).

    Both inputs must be sorted by key (UTF-8 bytes). Several rows may expect one key. A key that no row expects comes with an
    empty list.

    >>> list(merge([("a", 1), ("c", 2)], []))
    [('a', [1], None), ('c', [2], None)]
    """
    objects = iter(found)
    there = next(objects, None)
    for key, rows in groupby(expected, key=itemgetter(0)):
        while there is not None and there.key < key:
            yield there.key, [], there
            there = next(objects, None)
        wanted = [row for _, row in rows]
        if there is not None and there.key == key:
            yield key, wanted, there
            there = next(objects, None)
        else:
            yield key, wanted, None
    while there is not None:
        yield there.key, [], there
        there = next(objects, None)
