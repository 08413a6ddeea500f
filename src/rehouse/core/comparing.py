"""Is it the same object? A truth table, and the merge of two listings. Nothing here fetches anything."""

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
    """What shows that source and target are the same, the strongest that is free first.

    `ROW`: no copy of ours, so there is no source; the object is there, with the ETag of its row if the row has one.
    """

    S3_COPY = "s3_copy"
    ROW = "row"
    MD5 = "md5"
    CHECKSUM = "checksum"
    BYTES = "bytes"


class Finding(StrEnum):
    """What a comparison found."""

    SAME = "same"
    DIFFERENT = "different"
    MISSING = "missing"
    COULD_NOT_CHECK = "could_not_check"


@dataclass(frozen=True, slots=True)
class Expected:
    """What the target must be: the source's ETag and size at the copy; `answered_etag` is what S3 answered to the copy.

    `answered_etag` is None where no copy of ours made the object. Without a `source_etag` there is no source (the document
    was born at home); `answered_etag` is then what its row says.
    """

    source_etag: str | None
    size: int | None
    answered_etag: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finding; with SAME its proof, else a sentence. `fault`: why S3 would not tell about a side, if that is the reason."""

    finding: Finding
    proof: Proof | None = None
    detail: str = ""
    fault: Fault | None = None


_SAME = {proof: Comparison(Finding.SAME, proof) for proof in Proof}
"""Made once: nearly every document is the same."""


def compare(expected: Expected, found: ListedObject | None) -> Comparison:
    """Compare by what a listing tells. The first line that fits holds:

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


def unseen(fault: Fault) -> Comparison:
    """Return the finding of a comparison of which one side could not be looked at."""
    return Comparison(Finding.COULD_NOT_CHECK, detail=f"S3 would not tell about it: {fault.message}", fault=fault)


def compare_checksums(source: dict[str, str], target: dict[str, str]) -> bool | None:
    """Return whether full-object checksums of one algorithm agree; None if no algorithm is on both sides.

    Composite checksums (they carry `-parts`) say nothing about other part sizes and are passed over.
    """
    common = [name for name in source if name in target and "-" not in source[name] + target[name]]
    return all(source[name] == target[name] for name in common) if common else None


def merge(
    expected: Iterable[tuple[str, Left]], found: Iterable[ListedObject]
) -> Iterator[tuple[str, list[Left], ListedObject | None]]:
    """Merge what should be there with what is, both in order of key (UTF-8 bytes); yield (key, expected, object).

    Several rows may expect one key; a key that nobody expects comes with an empty list.

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
