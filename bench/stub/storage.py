"""What the stub holds: buckets, their configuration, their objects. The shared bucket's objects are made up from their number.

The same numbers make the rows of the benchmark's database (`bench/database.py`): key and ETag of both must agree.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

SHARED = "shared"
TARGET = "target"
"""Where the clients that only copy copy to."""
KEY_PREFIX = "uploads/"
KEY_END = "/file.pdf"
OLD = "2025-01-01T00:00:00.000Z"


class Stored(NamedTuple):
    """An object: ETag without quotes, size in bytes, time as a listing writes it."""

    etag: str
    size: int
    modified: str


def shared_key(number: int) -> str:
    """Return the key of the shared bucket's object `number`."""
    return f"{KEY_PREFIX}{number:09d}{KEY_END}"


def shared_object(number: int) -> Stored:
    """Return the shared bucket's object `number`."""
    etag = hashlib.md5(shared_key(number).encode(), usedforsecurity=False).hexdigest()
    return Stored(etag, 1024 + number * 7919 % 4_000_000, OLD)


class Made:
    """A bucket whose objects are made up from their numbers: a million of them take no memory."""

    def __init__(self, objects: int) -> None:
        self._objects = objects
        self._removed: set[str] = set()
        self.configuration: dict[str, bytes] = {}
        self.configured_at = 0.0

    def get(self, key: str) -> Stored | None:
        """Return the object at a key, or None."""
        digits = key[len(KEY_PREFIX) : -len(KEY_END)]
        if not digits.isdigit() or int(digits) >= self._objects or shared_key(int(digits)) != key:
            return None
        if key in self._removed:
            return None
        return shared_object(int(digits))

    def put(self, key: str, stored: Stored) -> None:
        """Refuse: nothing may write here."""
        raise PermissionError(key)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self._removed.add(key)

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[tuple[str, Stored]], bool]:
        """Return at most `limit` objects above `after`, and whether there are more."""
        number = 0
        if after > KEY_PREFIX:
            digits = after[len(KEY_PREFIX) :][:9]
            number = int(digits) + (after >= KEY_PREFIX + digits + KEY_END) if digits.isdigit() else self._objects
        last = min(self._objects, number + limit)
        found = [(shared_key(each), shared_object(each)) for each in range(number, last)]
        there = [pair for pair in found if pair[0].startswith(prefix) and pair[0] not in self._removed]
        return there, last < self._objects


class Bucket:
    """A bucket that was created: its objects in a dict, its keys sorted when they are listed after a change."""

    def __init__(self) -> None:
        self._objects: dict[str, Stored] = {}
        self._keys: list[str] = []
        self.configuration: dict[str, bytes] = {}
        self.created_at = self.configured_at = time.monotonic()

    def get(self, key: str) -> Stored | None:
        """Return the object at a key, or None."""
        return self._objects.get(key)

    def put(self, key: str, stored: Stored) -> None:
        """Store an object."""
        self._objects[key] = stored

    def remove(self, key: str) -> None:
        """Remove an object."""
        self._objects.pop(key, None)

    def page(self, prefix: str, after: str, limit: int) -> tuple[list[tuple[str, Stored]], bool]:
        """Return at most `limit` objects above `after`, and whether there are more."""
        if len(self._keys) != len(self._objects):
            self._keys = sorted(self._objects)
        begin = bisect_right(self._keys, max(after, prefix))
        if after < prefix and prefix in self._objects:
            begin -= 1
        keys = [key for key in self._keys[begin : begin + limit] if key.startswith(prefix)]
        return [(key, self._objects[key]) for key in keys], begin + limit < len(self._keys)


def most_at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many of the spans (begin, end) hold one and the same instant, at most; those that only touch do not.

    >>> most_at_once([(0, 3), (1, 2), (2, 4), (3, 5)])
    2
    """
    changes = sorted(change for begin, end in spans for change in ((begin, 1), (end, -1)))
    return max(accumulate(step for _, step in changes), default=0)


class Storage:
    """All buckets. `shared` is there from the beginning."""

    def __init__(self, objects: int) -> None:
        self.buckets: dict[str, Bucket | Made] = {SHARED: Made(objects)}

    def create(self, name: str) -> bool:
        """Create a bucket; return False if it is there already."""
        if name in self.buckets:
            return False
        self.buckets[name] = Bucket()
        return True

    def provisioned_at_once(self) -> int:
        """Return how many buckets were between their creation and their last setting at one instant, at most."""
        made = [each for each in self.buckets.values() if isinstance(each, Bucket)]
        return most_at_once((each.created_at, each.configured_at) for each in made)


def now() -> str:
    """Return the time as a listing writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
