"""Is it the same object? The truth table of compare, checksums, and the merge against a naive model."""

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.comparing import Expected, compare, compare_checksums, merge
from rehouse.core.model import ListedObject

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MD5S = ["0" * 32, "d41d8cd98f00b204e9800998ecf8427e", "f" * 32]
etags = st.sampled_from([*MD5S, "d41d8cd98f00b204e9800998ecf8427e-3", "kms-etag", "0" * 31, "F" * 32, ""])
sizes = st.integers(0, 2)


def listed(key: str = "k", etag: str = MD5S[0], size: int = 0) -> ListedObject:
    return ListedObject(key, etag, size, "STANDARD", NOON)


expectations = st.builds(Expected, st.none() | etags, st.none() | sizes, st.none() | etags)
finds = st.none() | st.builds(listed, etag=etags, size=sizes)

Fits = Callable[[Expected, ListedObject], bool]


def _both_md5s(expected: Expected, found: ListedObject) -> bool:
    return expected.source_etag in MD5S and found.etag in MD5S


LINES: dict[str, Fits] = {
    "another size than the source": lambda e, f: e.size is not None and e.size != f.size,
    "another ETag than S3 answered to our copy, or its row says": lambda e, f: (
        e.answered_etag is not None and e.answered_etag != f.etag
    ),
    "what it should, and there is no source: born at home": lambda e, _: e.source_etag is None,
    "the ETag that S3 answered to our conditional copy": lambda e, f: e.answered_etag == f.etag,
    "both ETags are MD5s and equal": lambda e, f: _both_md5s(e, f) and e.source_etag == f.etag,
    "anything else (a KMS ETag may have the form of an MD5)": lambda *_: True,
}
FINDINGS = {
    "missing": ("missing", None),
    "different": ("different", None),
    "same, by S3's own copy": ("same", "s3_copy"),
    "same, by its row": ("same", "row"),
    "same, by MD5": ("same", "md5"),
    "could not check": ("could_not_check", None),
}


@given(expectations, finds)
def test_a_comparison_is_the_first_line_of_the_table_that_fits(expected: Expected, found: ListedObject | None) -> None:
    (absent, is_missing), *lines = truth_table(compare)
    assert (absent, is_missing) == ("has no such object", "missing")
    assert [text for text, _ in lines] == list(LINES)
    finding = is_missing if found is None else next(to for text, to in lines if LINES[text](expected, found))
    comparison = compare(expected, found)
    assert (comparison.finding, comparison.proof) == FINDINGS[finding]
    assert bool(comparison.detail) is (comparison.proof is None)


@given(etags, etags, st.none() | etags)
def test_other_sizes_are_never_the_same(one: str, other: str, answered: str | None) -> None:
    assert compare(Expected(one, 1, answered), listed(etag=other, size=2)).finding == "different"


names = st.sampled_from(["CRC64NVME", "SHA256", "CRC32"])
checksums = st.dictionaries(names, st.sampled_from(["AAA=", "BBB=", "AAA=-2"]))


@given(checksums, checksums)
def test_checksums_agree_only_where_both_cover_the_whole_object(source: dict[str, str], target: dict[str, str]) -> None:
    both = set(source) & set(target)
    full = {name for name in both if not source[name].endswith("-2") and not target[name].endswith("-2")}
    expected = None if not full else {name: source[name] for name in full} == {name: target[name] for name in full}
    assert compare_checksums(source, target) is expected
    assert compare_checksums(target, source) is expected


def test_one_checksum_that_differs_is_enough() -> None:
    assert compare_checksums({"SHA256": "a", "CRC32": "b"}, {"SHA256": "a", "CRC32": "c"}) is False


keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=3) | st.sampled_from(
    ["a", "b", "a/b", "é", "z", "𐀀", "\uffff"]
)


@given(st.lists(st.tuples(keys, st.integers())), st.sets(keys))
def test_the_merge_is_what_two_dictionaries_would_say(rows: list[tuple[str, int]], there: set[str]) -> None:
    by_bytes = sorted(rows, key=lambda row: row[0].encode())
    objects = [listed(key) for key in sorted(there, key=str.encode)]
    merged = list(merge(iter(by_bytes), iter(objects)))
    assert [key for key, _, _ in merged] == sorted({key for key, _ in rows} | there, key=str.encode)
    for key, expected, found in merged:
        assert expected == [row for row_key, row in by_bytes if row_key == key]
        assert (found.key if found else None) == (key if key in there else None)


def test_two_rows_of_one_key_come_together_with_its_object() -> None:
    assert list(merge([("a", 1), ("a", 2)], [listed("a")])) == [("a", [1, 2], listed("a"))]


def test_the_merge_reads_no_further_than_it_must() -> None:
    def endless():
        number = 0
        while True:
            number += 1
            yield listed(f"{number:09d}")

    merged = merge([("000000003", "row")], endless())
    assert [next(merged)[0] for _ in range(4)] == [f"{number:09d}" for number in (1, 2, 3, 4)]
