"""Other spellings of a key, for rows whose key differs a little from the key of their object.

Pure functions.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from rehouse.core.naming import key_problem

MOST = 100
"""The most spellings to look up for one key."""
CHANGES = 3
"""The most steps between a key and a spelling; a URL whose path is encoded twice takes three."""
PREFIXES = 3
"""The most prefixes of the application to try."""
_SCHEME = re.compile(r"(?i)^(https?|s3|s3a|s3n)://")


def other_spellings(key: str, buckets: Sequence[str] = (), prefixes: Sequence[str] = ()) -> tuple[str, ...]:
    """Return other keys that the object of `key` may have, the nearest first, at most MOST.

    Each step changes one thing, and up to CHANGES steps are combined:

    | the key                                         | the object's key              |
    |-------------------------------------------------|-------------------------------|
    | a URL: s3://bucket/k, https://host/k?query      | what follows the host         |
    | begins with one of the buckets and a slash      | without it                    |
    | begins with a slash                             | without it                    |
    | begins with no slash                            | with one                      |
    | percent-encoded                                 | decoded                       |
    | plus-encoded                                    | decoded                       |
    | has characters that a URL encodes               | percent-encoded               |
    | has a space                                     | plus-encoded                  |
    | in another form of Unicode than NFC             | NFC                           |
    | in another form of Unicode than NFD             | NFD                           |
    | anything else                                   | with each prefix in front     |

    >>> other_spellings("shared/a%20b.pdf", ["shared"])[:2]
    ('a%20b.pdf', 'shared/a b.pdf')
    """
    found: dict[str, None] = {key: None}
    latest = [key]
    for _ in range(CHANGES):
        latest = [each for known in latest for each in _steps(known, buckets) if each not in found]
        latest = list(dict.fromkeys(latest))[:MOST]
        found.update(dict.fromkeys(latest))
    for prefix in prefixes[:PREFIXES]:
        found.update(dict.fromkeys(f"{prefix}{each}" for each in list(found)[: MOST // 4] if not _SCHEME.match(each)))
    return tuple(each for each in found if each != key and _is_possible(each))[:MOST]


def common_prefixes(pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the prefixes that keys in the bucket have and keys in rows lack, the most frequent first.

    `pairs` are (key in the row, key of the object).

    >>> common_prefixes([("a", "media/a"), ("b", "media/b"), ("b", "old/b"), ("c", "c")])
    ('media/', 'old/')
    """
    prefixes = Counter(there.removesuffix(key) for key, there in pairs if there.endswith(f"/{key}"))
    return tuple(prefix for prefix, _ in prefixes.most_common(PREFIXES))


def _steps(key: str, buckets: Sequence[str]) -> Iterator[str]:
    if _SCHEME.match(key):
        yield from _strip_host(key)
        return
    yield from (key.removeprefix(f"{bucket}/") for bucket in buckets if key.startswith(f"{bucket}/"))
    yield from _decode(key)
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, key)
    yield key.lstrip("/") if key.startswith("/") else f"/{key}"
    for encode in (quote, quote_plus):
        yield encode(key, safe="/", errors="surrogatepass")


def _decode(key: str) -> Iterator[str]:
    for decode in (unquote, unquote_plus):
        try:
            yield decode(key, errors="strict")
        except UnicodeDecodeError:
            continue


def _strip_host(url: str) -> Iterator[str]:
    rest = _SCHEME.sub("", url).partition("/")[2]
    path = rest.partition("?")[0].partition("#")[0]
    yield from _decode(path)
    yield path
    yield rest


def _is_possible(key: str) -> bool:
    return key_problem(key) is None
