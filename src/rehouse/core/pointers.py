"""Find the object keys that a text mentions, in one pass over the text however many keys there are. Pure functions.

A key is found if no letter or digit touches it, as plain text or encoded as in URLs, JSON and HTML.
"""

from __future__ import annotations

import html
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

_WORD = r"[^\W_]"
_ESCAPED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\[\"\\/bfnrt]")


class KeyFinder:
    """Find keys in texts.

    To be fast, it searches the text for one word of each key: the word that the fewest other keys contain.

    >>> finder = KeyFinder(["uploads/1/a b.pdf", "uploads/2/c.pdf"])
    >>> sorted(finder.find_mentions('{"url": "https:\\\\/\\\\/cdn.example.com\\\\/uploads\\\\/1\\\\/a%20b.pdf?v=1"}'))
    ['uploads/1/a b.pdf']
    """

    def __init__(self, keys: Iterable[str]) -> None:
        words = {key: frozenset(re.findall(f"{_WORD}+", key)) for key in keys if key}
        frequency = Counter(word for each in words.values() for word in each)
        self._by_word: defaultdict[str, list[str]] = defaultdict(list)
        self._without_words: list[str] = []
        for key, found in words.items():
            if found:
                self._by_word[min(found, key=lambda word: (frequency[word], -len(word), word))].append(key)
            else:
                self._without_words.append(key)
        shortest = min(map(len, self._by_word), default=1)
        self._words = re.compile(f"{_WORD}{{{shortest},}}")
        self.shortest_bytes = min((len(key.encode("utf-8", "surrogatepass")) for key in words), default=0)

    def may_mention(self, text: str) -> bool:
        """Return whether the text, which may be many values joined, may mention a key.

        False is certain.
        """
        return any(
            not self._by_word.keys().isdisjoint(self._words.findall(reading))
            or any(key in reading for key in self._without_words)
            for reading in readings(text)
        )

    def find_mentions(self, text: str) -> set[str]:
        """Return the keys that the text mentions."""
        return {
            key
            for reading in readings(text)
            for key in (*self._likely(reading), *self._without_words)
            if _stands_alone(key, reading)
        }

    def _likely(self, reading: str) -> Iterator[str]:
        for word in self._by_word.keys() & set(self._words.findall(reading)):
            yield from self._by_word[word]


def readings(text: str) -> Iterator[str]:
    """Yield a text as it is and decoded: JSON and URL encodings up to twice, HTML once."""
    yield text
    latest = text
    for decode in (_decode_json_escapes, _decode_json_escapes, html.unescape, unquote, unquote):
        if decode is unquote and "+" in latest:
            yield unquote(latest.replace("+", " "))
        decoded = decode(latest)
        if decoded != latest:
            latest = decoded
            yield latest


def _decode_json_escapes(text: str) -> str:
    return _ESCAPED.sub(lambda found: json.loads(f'"{found[0]}"'), text) if "\\" in text else text


def _stands_alone(key: str, text: str) -> bool:
    at = text.find(key)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(key) : at + len(key) + 1]
        if not (before.isalnum() and key[0].isalnum()) and not (after.isalnum() and key[-1].isalnum()):
            return True
        at = text.find(key, at + 1)
    return False
