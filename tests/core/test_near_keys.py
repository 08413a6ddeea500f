"""Other spellings of a key: whatever a row made of an object's key, the object's key is among them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.naming import key_problem
from rehouse.core.near_keys import MOST, common_prefixes, other_spellings

BUCKETS = ("shared", "older")
EXAMPLES = {
    "a URL: s3://bucket/k, https://host/k?query": ("https://cdn.example.com/k/a.pdf?v=1", "k/a.pdf"),
    "begins with one of the buckets and a slash": ("older/k/a.pdf", "k/a.pdf"),
    "begins with a slash": ("/k/a.pdf", "k/a.pdf"),
    "begins with no slash": ("k/a.pdf", "/k/a.pdf"),
    "percent-encoded": ("k/a%20b.pdf", "k/a b.pdf"),
    "plus-encoded": ("k/a+b.pdf", "k/a b.pdf"),
    "has characters that a URL encodes": ("k/a b.pdf", "k/a%20b.pdf"),
    "has a space": ("k/a b.pdf", "k/a+b.pdf"),
    "in another form of Unicode than NFC": ("k/cafe\u0301.pdf", "k/caf\u00e9.pdf"),
    "in another form of Unicode than NFD": ("k/caf\u00e9.pdf", "k/cafe\u0301.pdf"),
    "anything else": ("k/a.pdf", "media/k/a.pdf"),
}
WAYS: dict[str, Callable[[str], str]] = {
    "percent": quote,
    "percent twice": lambda key: quote(quote(key)),
    "plus": lambda key: quote_plus(key, safe="/"),
    "slash": lambda key: f"/{key}",
    "bucket": lambda key: f"shared/{key}",
    "s3": lambda key: f"s3://shared/{key}",
    "virtual host": lambda key: f"https://shared.s3.eu-west-1.amazonaws.com/{quote(key)}?X-Amz-Expires=60",
    "path style": lambda key: f"https://s3.amazonaws.com/shared/{quote(key)}",
    "NFC": lambda key: unicodedata.normalize("NFC", key),
    "percent of NFC": lambda key: quote(unicodedata.normalize("NFC", key)),
}
keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@pytest.mark.parametrize(("case", "_told"), truth_table(other_spellings))
def test_every_line_of_the_table(case: str, _told: str) -> None:
    key, there = EXAMPLES[case]
    assert there in other_spellings(key, BUCKETS, ("media/",))


@pytest.mark.parametrize("way", WAYS)
@given(key=keys)
@example(key="k/100% sure + caf\u00e9.pdf")
def test_the_key_comes_back_from_every_way_of_writing_it(way: str, key: str) -> None:
    assume(not key.startswith("/") and "://" not in key and key_problem(key) is None)
    if "NFC" in way:
        key = unicodedata.normalize("NFD", key)
        assume(unicodedata.normalize("NFD", unicodedata.normalize("NFC", key)) == key)
    if way == "s3":
        assume("?" not in key and "#" not in key and "%" not in key)
    written = WAYS[way](key)
    assume(written != key)
    assert key in other_spellings(written, BUCKETS)


@given(st.text(max_size=200) | st.text("%+/2504\u0301e\u00e9é:s3h?#[", max_size=40), st.lists(st.text(max_size=5)))
@example("http://[", ["x"])
@example("%00", [])
@example("%ff%ED%A0%80", [])
def test_spellings_are_few_possible_and_never_the_key_itself(key: str, prefixes: list[str]) -> None:
    found = other_spellings(key, BUCKETS, prefixes)
    assert len(found) == len(set(found)) <= MOST
    assert key not in found
    for each in found:
        each.encode()
        assert key_problem(each) is None
        assert "\0" not in each


def test_the_nearest_comes_first() -> None:
    assert other_spellings("k/a%20b.pdf")[0] == "k/a b.pdf"
    assert other_spellings("shared/k/a.pdf", BUCKETS)[0] == "k/a.pdf"
    assert other_spellings("k/a%20b.pdf", BUCKETS, ("m/",))[-1].startswith("m/")


@given(st.lists(st.tuples(st.sampled_from(["a", "b/a"]), st.sampled_from(["x/a", "y/x/b/a", "a", "xa", ""]))))
def test_a_prefix_ends_in_a_slash_and_leaves_the_key(pairs: list[tuple[str, str]]) -> None:
    for prefix in common_prefixes(pairs):
        assert prefix.endswith("/")
        assert any(there == prefix + key for key, there in pairs)
