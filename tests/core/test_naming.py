"""Any text in, a valid name out: S3's rules for bucket names, keys that keep documents apart, file names that are safe."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rehouse.core.naming import (
    bucket_name,
    dns_label,
    is_named_for,
    key_problem,
    log_bucket_name,
    sanitise,
    target_key,
)

anything = st.text(st.characters())  # lone surrogates included
long_text = st.text(st.characters(), max_size=700)
prefixes = st.from_regex(r"[a-z0-9][a-z0-9-]{0,30}", fullmatch=True).filter(
    lambda prefix: not prefix.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
)
suffixes = st.from_regex(r"[0-9a-f]{8}", fullmatch=True)
SLUGS = [
    "acme", "Acme Corp.", "x" * 200, "-" * 80, "a.b.c", "192.168.0.1", "ÄÖÜ-straße", "пример", "🦊🦊", "'; DROP TABLE tenants; --",
    "", ".", "..", "xn--acme", "sthree-x", "acme--x-s3", "ends-with-s3alias", "con", "\u202eevil", "\ud800", "a" * 39 + "-b",
]  # fmt: skip


def is_valid_bucket_name(name: str) -> bool:
    """The rules of S3's user guide for general purpose buckets, without dots, which spoil TLS."""
    return (
        re.fullmatch(r"[a-z0-9]([a-z0-9-]{1,61})[a-z0-9]", name) is not None
        and not name.startswith(("xn--", "sthree-", "amzn-s3-demo-"))
        and not name.endswith(("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"))
    )


@given(prefixes, st.sampled_from(["", "-123456789012-eu-west-1-an", "-123456789012-ap-southeast-1-an"]))
@example("a-prefix-of-thirty-one-letters-x", "-123456789012-ap-northeast-1-an")
def test_every_log_bucket_name_is_valid(prefix: str, namespace: str) -> None:
    name = log_bucket_name(prefix, "123456789012", namespace)
    assert is_valid_bucket_name(name), name
    assert name.endswith(namespace)
    assert log_bucket_name(prefix + "x", "123456789012", namespace) != name


@given(prefixes, anything, suffixes)
def test_every_bucket_name_is_valid(prefix: str, slug: str, suffix: str) -> None:
    name = bucket_name(prefix, slug, suffix)
    assert is_valid_bucket_name(name), name
    assert not name.endswith("-an")
    assert name.startswith(prefix + "-")
    assert name.endswith("-" + suffix)


@pytest.mark.parametrize("slug", SLUGS)
def test_every_odd_slug_gives_a_valid_name(slug: str) -> None:
    assert is_valid_bucket_name(bucket_name("dataroom-saas", slug, "00000000"))


@given(anything, suffixes, st.sampled_from(["us-east-1", "eu-central-1", "ap-southeast-2", "us-gov-east-1"]))
def test_names_in_the_accounts_own_namespace_are_valid_too(slug: str, suffix: str, region: str) -> None:
    ending = f"-123456789012-{region}-an"
    name = bucket_name("dataroom-saas", slug, suffix, namespace=ending)
    assert is_valid_bucket_name(name), name
    assert name.endswith(suffix + ending)


@given(st.from_regex(r"[a-z0-9]([a-z0-9]|-(?!-)){0,38}[a-z0-9]", fullmatch=True), suffixes)
def test_a_slug_that_is_a_valid_name_stays_as_it_is(slug: str, suffix: str) -> None:
    assert bucket_name("dataroom-saas", slug, suffix) == f"dataroom-saas-{slug}-{suffix}"


def test_a_slug_is_never_cut_between_two_hyphens() -> None:
    assert bucket_name("dataroom-saas", "a" * 39 + "-b", "00000000") == f"dataroom-saas-{'a' * 39}-00000000"


def test_the_guides_example() -> None:
    assert bucket_name("dataroom-saas", "acme-corp", "a1b2c3d4") == "dataroom-saas-acme-corp-a1b2c3d4"


@given(anything)
def test_a_label_is_plain_and_stays_as_it_is(slug: str) -> None:
    label = dns_label(slug)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", label)
    assert dns_label(label) == label


def test_accents_are_stripped_and_everything_else_is_one_hyphen() -> None:
    assert dns_label("Café  &  Söhne!") == "cafe-sohne"
    assert dns_label("東京") == "tenant"


NAMES = [
    "a.pdf",
    "../../etc/passwd",
    "CON",
    "nul.txt",
    "x" * 300 + ".docx",
    "ע" * 200 + ".pdf",
    "\u202egpj.exe",
    ".",
    "..",
    "",
]
IDS = [
    "7f3a",
    "a/b",
    "a%2Fb",
    "..",
    ".",
    "...",
    "",
    "%2E%2E",
    "?x=1",
    "#",
    "x" * 600,
    "x" * 601,
    "é",
    "e\u0301",
    "\ud800",
    "sha256=",
]


@given(anything, anything, anything)
@example("a/b", "a%2Fb", "n")
@example("..", "%2E%2E", "n")
@example("", "%", "n")
@example("é", "e\u0301", "n")
@example("x" * 600, "x" * 601, "n")
@example("\ud800", "\ufffd", "n")
@example("\ud800", "\ud801", "n")
def test_two_documents_never_have_one_key(one: str, other: str, name: str) -> None:
    if one != other:
        assert target_key(one, name) != target_key(other, name)
        assert target_key(one, name).split("/")[1] != target_key(other, name).split("/")[1]


@given(
    st.one_of(anything, long_text, st.sampled_from(IDS)),
    st.one_of(long_text, st.sampled_from(NAMES)),
    st.integers(128, 2000),
)
def test_every_key_is_one_that_s3_the_column_and_urls_can_hold(document_id: str, name: str, column: int) -> None:
    key = target_key(document_id, name, max_characters=column)
    assert len(key.encode()) <= min(1024, column)
    assert key_problem(key) is None
    top, folder, file = key.split("/")
    assert top == "documents"
    assert re.fullmatch(r"[A-Za-z0-9_.~%=-]+", folder)
    assert not set(folder) <= {"."}
    assert file == sanitise(file)


RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in "123456789")}


@given(st.one_of(long_text, st.sampled_from(NAMES), st.text("🦊é.- /\\\u202e\r\n\0a1"), st.text("ע.", max_size=300)))
@example("CON.txt")
@example("com1")
@example("x" * 254 + "..")
@example("con\u0301")
def test_sanitising_a_file_name_is_safe_and_idempotent(name: str) -> None:
    clean = sanitise(name)
    assert sanitise(clean) == clean
    assert 1 <= len(clean.encode()) <= 255
    assert not clean.startswith((".", " "))
    assert not clean.endswith((".", " "))
    assert clean.split(".")[0].lower() not in RESERVED
    assert unicodedata.normalize("NFC", clean) == clean
    assert not set(clean) & set('/\\:*?"<>|%#+&=;\r\n\0\u202e\u200b ')


@given(st.text("abé🦊", min_size=1, max_size=400), st.sampled_from(["pdf", "docx", "tar"]))
def test_the_extension_survives_the_cut(stem: str, extension: str) -> None:
    assert sanitise(f"x{stem}.{extension}").endswith(f".{extension}")


@given(st.one_of(long_text, st.sampled_from(NAMES)), st.integers(24, 255))
def test_a_name_can_be_cut_to_less(name: str, most: int) -> None:
    clean = sanitise(name, max_bytes=most)
    assert len(clean.encode()) <= most
    assert sanitise(clean, max_bytes=most) == clean


def test_what_is_left_of_a_stem_does_not_end_in_dots() -> None:
    assert sanitise("a" + "." * 400 + "b") == "a.b"


def test_plain_names_of_any_script_stay_as_they_are() -> None:
    for name in ("report.pdf", "Q3-2025_final.xlsx", "отчёт.docx", "決算.pdf", "חוזה.pdf", "สัญญา.pdf"):
        assert sanitise(name) == name


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_a_name_of_ascii_alone_is_made_by_the_same_rule(name: str) -> None:
    alone, beside = sanitise(f"x{name}x"), sanitise(f"x{name}xé")
    assert beside == f"{alone}é"


def test_the_parts_of_a_key_are_the_guides() -> None:
    assert target_key("7f3a", "Q3 report?.pdf") == "documents/7f3a/Q3-report-.pdf"
    assert target_key("a/../b", "x.pdf") == "documents/a%2F..%2Fb/x.pdf"


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "empty"),
        ("é" * 513, "1,024 bytes"),
        ("s3://bucket/a.pdf", "URL"),
        ("https://bucket.s3.amazonaws.com/a.pdf", "URL"),
        ("../other-bucket/a", "dot segments"),
        ("a/../../b", "dot segments"),
        ("./../a", "dot segments"),
        ("a//../../b", "dot segments"),
    ],
)
def test_a_key_that_cannot_be_is_named(key: str, problem: str) -> None:
    assert problem in (key_problem(key) or "")


@pytest.mark.parametrize(
    "key",
    [
        "é" * 512,
        "a/b/../../c",
        "a/../b",
        " ",
        "a b+c%20?#&\\",
        "/a",
        "a//b",
        "a/",
        "a\nb",
        "…/a",
        "..a/..b",
        "s3:/x",
        "\u202eb",
    ],
)
def test_odd_keys_that_s3_holds_are_no_problem(key: str) -> None:
    assert key_problem(key) is None


@given(anything)
def test_no_text_breaks_the_look_at_a_key(key: str) -> None:
    problem = key_problem(key)
    assert problem is None or (
        key == "" or len(key) > 300 or "//" in key or ".." in key or problem == "it is not UTF-8"
    )


@given(prefixes, anything, suffixes, st.sampled_from(["", "-123456789012-eu-west-1-an"]))
def test_a_tenants_bucket_is_known_by_its_name(prefix: str, slug: str, suffix: str, namespace: str) -> None:
    assert is_named_for(bucket_name(prefix, slug, suffix, namespace=namespace), prefix, slug)


@pytest.mark.parametrize(
    "bucket",
    [
        "saas-acme-corp-1f0c9a7e",  # another tenant
        "saas-staging-acme-1f0c9a7e",  # another prefix, which begins with ours
        "saas-acme-1f0c9a7e-more",
        "saas-acme-xxxxxxxx",
        "saas-acme",
    ],
)
def test_the_bucket_of_another_is_told_apart(bucket: str) -> None:
    assert not is_named_for(bucket, "saas", "acme")
