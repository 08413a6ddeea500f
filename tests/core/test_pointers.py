"""Which keys a text mentions: every key that stands alone in it, whatever it is encoded in, and no other."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rehouse.core.pointers import KeyFinder

KEY = 'uploads/1/caf\u00e9 + 100% "x".pdf'
ENCODED: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": quote,
    "URL without slashes": lambda key: quote(key, safe=""),
    "URL twice": lambda key: quote(quote(key)),
    "plus": quote_plus,
    "JSON": json.dumps,
    "JSON with escaped slashes": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "HTML": html.escape,
    "URL in JSON": lambda key: json.dumps({"url": f"https://cdn.example.com/{quote(key)}?v=1"}),
}
keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)


@pytest.mark.parametrize("encoding", ENCODED)
@given(key=keys, others=st.lists(keys, max_size=5))
@example(key=KEY, others=["uploads/1/other.pdf", "uploads"])
@example(key="---", others=[])
@example(key="\u5951\u7d04\u66f8/1", others=["1"])
def test_a_key_is_found_in_every_encoding(encoding: str, key: str, others: list[str]) -> None:
    assume(encoding == "as it is" or not any(mark in key for mark in "&\\%") or key == KEY)
    finder = KeyFinder([key, *others])
    text = f"before {ENCODED[encoding](key)} after"
    assert finder.may_mention(text)
    assert key in finder.find_mentions(text)


@pytest.mark.parametrize(
    "text",
    ["k/10.pdf", "xk/1", "k/1x", "k%2F10", "", "K/1", "k/ 1", "\u00e9k/1"],
)
def test_a_key_that_is_part_of_another_is_not_mentioned(text: str) -> None:
    assert KeyFinder(["k/1"]).find_mentions(text) == set()


@pytest.mark.parametrize(
    "text", ["k/1", "k/10 and k/1", "a/k/1.thumb", "https://b.s3.amazonaws.com/k/1?x", "{k/1,k/2}", "\\nk/1"]
)
def test_a_key_that_stands_alone_is(text: str) -> None:
    assert KeyFinder(["k/1", "k/3"]).find_mentions(text) == {"k/1"}


@given(st.lists(keys, max_size=8), st.text(max_size=200) | st.text("k/12%2F\\u0031&#47;+", max_size=60))
@example(["k/1"], "\\ud83d")
@example(["k/1"], "%ff%&#xffffffff;")
def test_what_is_mentioned_may_be_mentioned(wanted: list[str], text: str) -> None:
    finder = KeyFinder(wanted)
    found = finder.find_mentions(text)
    assert found <= set(wanted)
    assert finder.may_mention(text) or not found


def test_the_rarest_word_tells_keys_apart() -> None:
    finder = KeyFinder(f"uploads/{number}/report.pdf" for number in range(1000))
    assert not finder.may_mention("uploads/x/report.pdf")
    assert finder.find_mentions("uploads/7/report.pdf") == {"uploads/7/report.pdf"}
