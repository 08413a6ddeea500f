"""What an upload may declare, and what becomes of it: the truth tables are the tests; keys never collide, whatever the names."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.errors import BadUpload
from rehouse.core.naming import MAX_KEY_BYTES, key_problem
from rehouse.core.routing import STAGED
from rehouse.core.uploads import (
    CHECKSUM_BYTES,
    LEAST_PART_BYTES,
    MIB,
    MOST_BYTES,
    MOST_GRANT_SECONDS,
    MOST_PARTS,
    MOST_SINGLE_BYTES,
    Arrival,
    Checksum,
    ChecksumAlgorithm,
    Declared,
    Held,
    candidate_keys,
    check_checksum,
    check_content_type,
    check_name,
    check_size,
    declare,
    describe_arrival,
    grant_seconds,
    judge_arrival,
    part_bytes,
    part_problem,
    part_sizes,
    staged_key,
)

GRANT = "4fd25e2a-1111-4222-8333-944444444444"
SHA256 = Checksum(ChecksumAlgorithm.SHA256, base64.b64encode(b"s" * 32).decode())
OTHER = base64.b64encode(b"o" * 32).decode()
NAMES: dict[str, list[object]] = {
    "is no text": [None, 7, b"a.pdf"],
    "is empty or blank": ["", "  ", "\u202e", " \u200f "],
    "has CR, LF or another control": ["a\r\nX-Evil: 1.pdf", "a\n", "a\0.pdf", "a\t.pdf", "a\x7f", "a\x85", "\x1b[2J"],
    "has a line or paragraph separator": ["a\u2028b.pdf", "a\u2029b.pdf"],
    "is not UTF-8": ["a\ud800.pdf"],
    "has more than 1,024 characters": ["x" * 1025, "x" * 10_000, "\r" * 10_000],
    "changes the direction of text (RTL)": ["report\u202efdp.exe", "\u2067a\u2069.pdf"],
    "leads to another folder": ["../../etc/passwd", "C:\\temp\\a.pdf", "/etc/passwd", "..", "temp/x/a.pdf"],
    "has more than 255 bytes": ["x" * 300 + ".pdf", "ü" * 1000 + ".pdf"],
    "is any other": ["Q3 report?.pdf", "Отчёт.pdf", "a", 'with "quotes".pdf', "CON", "💾.bin", "a%2Fb.pdf"],
}
ids = st.one_of(
    st.integers(0, 99).map(str), st.sampled_from(["a", "A", "a/b", "a%2Fb", "..", ".", "%", "?"]), st.text()
)
words = st.one_of(st.sampled_from(["a.pdf", "A.pdf", "../../a.pdf", "é.pdf", "con"]), st.text(max_size=40))


@pytest.mark.parametrize(("case", "result"), truth_table(check_name))
def test_the_table_of_names(case: str, result: str) -> None:
    for name in NAMES[case]:
        if result == "refused":
            with pytest.raises(BadUpload) as refused:
                check_name(name)
            assert refused.value.hint
            assert refused.value.message.isascii()
            assert refused.value.message.isprintable()
            assert len(refused.value.message) < 200
            continue
        kept = check_name(name)
        assert kept == name or (result == "kept without these characters" and kept.isprintable() and kept != name)
        key = staged_key(GRANT, kept)
        assert key.count("/") == 2, "a name is one segment of a key"
        assert len(key.rpartition("/")[2].encode()) <= 255
        assert key_problem(key) is None


def test_every_case_of_a_name_is_a_line_of_the_table() -> None:
    assert [line[0] for line in truth_table(check_name)] == list(NAMES)


@pytest.mark.parametrize(("case", "result"), truth_table(check_size))
def test_the_table_of_sizes(case: str, result: str) -> None:
    kind, _, how = case.partition(", in ")
    sizes: dict[str, list[object]] = {
        "is no whole number": [None, "7", 7.0, True, 1e9],
        "is negative": [-1, -(10**30)],
        "is 0": [0],
        "is 5 GiB": [5 * 1024**3],
        "is 50 TB": [10_000 * 5 * 1024**3],
        "is larger": [10_000 * 5 * 1024**3 + 1, 10**30] if how == "parts" else [5 * 1024**3 + 1, MOST_BYTES],
    }
    for size in sizes[kind]:
        most = MOST_SINGLE_BYTES if how == "one request" else MOST_BYTES
        if result == "kept":
            assert check_size(size, most=most) == size
        else:
            with pytest.raises(BadUpload) as refused:
                check_size(size, most=most)
            assert refused.value.hint


@pytest.mark.parametrize(
    "content_type",
    ["text/plain; charset=utf-8", 'multipart/form-data; boundary="a b"', "image/svg+xml", "application/vnd.ms-excel"],
)
def test_a_content_type_is_kept(content_type: str) -> None:
    assert check_content_type(content_type) == content_type


@pytest.mark.parametrize(
    "content_type",
    [
        "text",
        "text/",
        "/plain",
        "text/plain\r\nX-Evil: 1",
        "text/plain\n",
        "text/pläin",
        " text/plain",
        "a/b;",
        "a/b; c",
        'a/b; c="\x01"',
        "x" * 300 + "/y",
        "text/html, text/plain",
        "a b/c",
        b"text/plain",
        7,
    ],
)
def test_what_is_no_content_type_is_refused(content_type: object) -> None:
    with pytest.raises(BadUpload) as refused:
        check_content_type(content_type)
    assert refused.value.message.isprintable()


def test_a_browsers_empty_type_is_one_of_any_bytes() -> None:
    assert check_content_type("") == check_content_type(None) == "application/octet-stream"


@given(st.sampled_from(ChecksumAlgorithm), st.binary(max_size=40))
def test_a_checksum_has_the_length_of_its_algorithm(algorithm: ChecksumAlgorithm, raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    if len(raw) == CHECKSUM_BYTES[algorithm]:
        assert check_checksum(algorithm.upper(), text) == Checksum(algorithm, text)
    else:
        with pytest.raises(BadUpload, match="checksum"):
            check_checksum(algorithm, text)


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        ("md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
        ("", ""),
        (None, None),
        ("crc32", None),
        ("crc32", "AAAAAA"),
        ("crc32", "AAAAAA==\r\n"),
        ("crc32", "AAAAAB=="),  # other spellings of the same bytes are not equal as texts
        ("crc32", "deadbeef"),
        ("crc32", "AAAAAA==-2"),
        ("crc32", b"AAAAAA=="),
    ],
)
def test_what_is_no_checksum_is_refused(algorithm: object, value: object) -> None:
    with pytest.raises(BadUpload) as refused:
        check_checksum(algorithm, value)
    assert refused.value.hint


def test_a_declaration_is_checked_as_a_whole() -> None:
    pair = ("SHA256", SHA256.value)
    assert declare("a.pdf", 7, "", pair) == Declared("a.pdf", 7, "application/octet-stream", SHA256)
    assert declare("a.pdf", 7, "text/plain", SHA256).checksum is SHA256
    assert declare("a.pdf", 0).checksum is None
    for wrong in (("a\n", 7), ("a", -1), ("a", 7, "x"), ("a", 7, "", ("sha256", "x")), ("a", 7, "", "sha256:x")):
        with pytest.raises(BadUpload):
            declare(*wrong)


@given(st.lists(st.tuples(ids, ids, words), min_size=2, max_size=6), st.integers(200, MAX_KEY_BYTES))
def test_keys_of_different_documents_never_collide(uploads: list[tuple[str, str, str]], longest: int) -> None:
    keys: dict[str, tuple[str, str]] = {}
    for tenant, document, name in uploads:
        for key in candidate_keys(tenant, document, name, grant_id=GRANT, is_shared=True, max_characters=longest):
            assert keys.setdefault(key, (tenant, document)) == (tenant, document)
            assert len(key.encode()) <= longest
            assert key_problem(key) is None
            assert not STAGED.match(key)


@given(ids, ids, words)
def test_candidates_differ_and_stay_in_their_folder(tenant: str, document: str, name: str) -> None:
    home = candidate_keys(tenant, document, name, grant_id=GRANT, is_shared=False)
    shared = candidate_keys(tenant, document, name, grant_id=GRANT, is_shared=True)
    assert len({*home, *shared}) == len(home) + len(shared)
    assert len({key.rpartition("/")[0] for key in home}) == 1
    assert all(key.count("/") == 2 and key.startswith("documents/") for key in home)
    assert all(key.count("/") == 4 and key.startswith("tenants/") for key in shared)


@pytest.mark.parametrize(("bucket", "shown"), [line[:2] for line in truth_table(candidate_keys)][:2])
def test_the_table_of_keys(bucket: str, shown: str) -> None:
    first, *_ = candidate_keys(7, "d1", "Q3 report?.pdf", grant_id=GRANT, is_shared=bucket == "shared")
    assert first == shown.partition(",")[0].format(tenant=7, id="d1", name="Q3-report-.pdf")


@given(ids, st.integers(120, 300))
def test_a_short_column_for_keys_is_enough(document: str, longest: int) -> None:
    for key in candidate_keys("7", document, "x" * 500, grant_id=GRANT, is_shared=True, max_characters=longest):
        assert len(key) <= longest


def size_of(text: str) -> int:
    if text == "50 TB":
        return MOST_BYTES
    number, _, unit = text.replace(",", "").partition(" ")
    return int(number) * (MIB if unit else 1)


@pytest.mark.parametrize(("size", "preferred", "told"), truth_table(part_bytes))
def test_the_table_of_parts(size: str, preferred: str, told: str) -> None:
    assert part_bytes(size_of(size), size_of(preferred)) == size_of(told)


@given(st.integers(0, MOST_BYTES), st.integers(1, 64 * MIB))
def test_parts_are_within_the_limits_and_make_up_the_size(size: int, preferred: int) -> None:
    each = part_bytes(size, preferred)
    sizes = part_sizes(size, each)
    assert LEAST_PART_BYTES <= each <= MOST_SINGLE_BYTES
    assert 1 <= len(sizes) <= MOST_PARTS
    assert sum(sizes) == size
    assert {*sizes[:-1]} <= {each}
    assert sizes[-1] <= each


PARTS = {
    "all, in any order": [[(1, 5), (2, 5), (3, 1)], [(3, 1), (1, 5), (2, 5)]],
    "a number is missing": [[], [(1, 5), (3, 1)], [(1, 5), (2, 5)]],
    "a number is too many": [[(1, 5), (2, 5), (3, 1), (4, 1)], [(0, 1), (1, 5), (2, 5), (3, 1)]],
    "a size is another one": [[(1, 5), (2, 1), (3, 5)], [(1, 5), (2, 5), (3, 2)]],
}


@pytest.mark.parametrize(("case", "result"), truth_table(part_problem))
def test_the_table_of_uploaded_parts(case: str, result: str) -> None:
    for parts in PARTS[case]:
        assert (part_problem(11, 5, parts) is None) == (result == "none")
    assert part_problem(11, 5, [(1, 5), (2, 5), (3, 1), (3, 1)]) == "a part is there twice"


@pytest.mark.parametrize(("days", "incomplete", "seconds", "lives"), truth_table(grant_seconds))
def test_the_table_of_lives(days: str, incomplete: str, seconds: str, lives: str) -> None:
    told = grant_seconds(int(seconds), temporary_days=int(days), incomplete_upload_days=int(incomplete))
    assert told == int(lives)


@given(st.integers(1, MOST_GRANT_SECONDS), st.integers(1, 400), st.integers(1, 400))
def test_a_grant_ends_before_its_object_can(seconds: int, days: int, incomplete: int) -> None:
    lives = grant_seconds(seconds, temporary_days=days, incomplete_upload_days=incomplete)
    assert lives == seconds, "the longest that the setting takes is never cut"
    assert lives + 6 * 3600 <= min(days, incomplete) * 86_400


CHECKSUMS = {
    "none": {},
    "equal": {"sha256": SHA256.value},
    "another": {"sha256": OTHER},
    "of parts": {"sha256": "AAAA-3"},
}


@pytest.mark.parametrize(("size", "kind", "declared", "found", "arrival"), truth_table(judge_arrival))
def test_the_table_of_arrival(size: str, kind: str, declared: str, found: str, arrival: str) -> None:
    sizes = {"same": [7], "another": [0, 6, 8]}[size]
    kinds = {"same": ["text/plain", "Text/Plain"], "another": ["text/html", ""]}
    kinds["any"] = kinds["same"] + kinds["another"]
    checksums = {"none": [None], "some": [SHA256], "any": [None, SHA256]}[declared]
    founds = [*CHECKSUMS.values()] if found == "any" else [CHECKSUMS[found]]
    for told in [Declared("a", 7, "text/plain", each) for each in checksums]:
        for held in [Held(number, each, sums) for number in sizes for each in kinds[kind] for sums in founds]:
            assert judge_arrival(told, held) == arrival
            if arrival.startswith("other"):
                assert describe_arrival(Arrival(arrival), told, held).isprintable()


def test_a_parameter_of_a_type_may_lose_its_blank() -> None:
    told = Declared("a", 7, "text/plain; charset=utf-8")
    assert judge_arrival(told, Held(7, "text/plain;charset=UTF-8", {})) is Arrival.SAME
    assert judge_arrival(told, Held(7, "text/plain", {})) is Arrival.OTHER_TYPE
