"""Which object keys a text mentions, however many keys there are: one pass over the text, whatever it encodes them in. Pure.

A key is found where it stands alone (no letter or digit touches it), as it is or as URLs, JSON and HTML write it.
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
    """Finds keys in texts. A text is searched for words first: of each key for the word that the fewest other keys have.

    >>> finder = KeyFinder(["uploads/1/a b.pdf", "uploads/2/c.pdf"])
    >>> sorted(finder.mentioned('{"url": "https:\\\\/\\\\/cdn.example.com\\\\/uploads\\\\/1\\\\/a%20b.pdf?v=1"}'))
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
        """Tell whether a key may be in the text, which may be many values at once; False is certain."""
        return any(
            not self._by_word.keys().isdisjoint(self._words.findall(reading))
            or any(key in reading for key in self._without_words)
            for reading in readings(text)
        )

    def mentioned(self, text: str) -> set[str]:
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
    """Yield a text as it is and as it reads with JSON's, HTML's and URLs' encodings undone, each of them twice at most."""
    yield text
    latest = text
    for decode in (_without_json, _without_json, html.unescape, unquote, unquote):
        if decode is unquote and "+" in latest:
            yield unquote(latest.replace("+", " "))
        decoded = decode(latest)
        if decoded != latest:
            latest = decoded
            yield latest


def _without_json(text: str) -> str:
    return _ESCAPED.sub(lambda found: json.loads(f'"{found[0]}"'), text) if "\\" in text else text


def _stands_alone(key: str, text: str) -> bool:
    at = text.find(key)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(key) : at + len(key) + 1]
        if not (before.isalnum() and key[0].isalnum()) and not (after.isalnum() and key[-1].isalnum()):
            return True
        at = text.find(key, at + 1)
    return False
