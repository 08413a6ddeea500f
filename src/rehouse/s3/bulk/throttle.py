"""The limiter that all threads of a plane share: core.pacing with a lock and a clock."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rehouse.core import pacing

LONGEST_SLEEP_SECONDS = 0.5
"""The longest wait of a thread before it checks for an interruption."""


class _Own(threading.local):
    """A thread's requests: those that it reserved, and how many of the last granted ones came from all threads' share."""

    reserved = 0
    shared = 0


class Throttle:
    """Limits how many requests may start, and counts the requests sent, by kind."""

    def __init__(self, max_rate: float | None, clock: Callable[[], float]) -> None:
        self.sent: Counter[str] = Counter()
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = pacing.start(clock(), max_rate)
        self._own = _Own()

    def take(self, wanted: int) -> int:
        """Return how many of `wanted` requests may start now, and count them as started: first those that this thread reserved."""
        own = min(wanted, self._own.reserved)
        self._own.reserved -= own
        self._own.shared = self._take(wanted - own) if wanted > own else 0
        return own + self._own.shared

    @contextmanager
    def reserve(self, least: int, most: int, is_interrupted: Callable[[], bool]) -> Iterator[None]:
        """Wait until `least` requests may start, and keep them for this thread, with others that may start too, `most` in all.

        An interruption ends the wait. What is not used is given back.
        """
        try:
            self._own.reserved = self._take(most)
            while self._own.reserved < least and not is_interrupted():
                time.sleep(min(self.wait_seconds(), LONGEST_SLEEP_SECONDS))
                self._own.reserved += self._take(least - self._own.reserved)
            yield
        finally:
            self._return(self._own.reserved)
            self._own.reserved = 0

    def _take(self, wanted: int) -> int:
        with self._lock:
            pace = pacing.fill(self._pace, self._clock())
            granted = min(wanted, pacing.requests_allowed(pace))
            self._pace = pacing.spend(pace, granted)
            return granted

    def give_back(self, requests: int) -> None:
        """Give back requests that were granted to this thread a moment ago but not sent; what it had reserved stays reserved."""
        shared = min(requests, self._own.shared)
        self._own.shared -= shared
        self._own.reserved += requests - shared
        self._return(shared)

    def _return(self, requests: int) -> None:
        with self._lock:
            self._pace = pacing.spend(self._pace, -requests)

    def count(self, kind: str) -> None:
        """Count a request that was sent."""
        with self._lock:
            self.sent[kind] += 1

    def wait_seconds(self) -> float:
        """Return the seconds until another request may start."""
        with self._lock:
            return pacing.wait_seconds(self._pace)

    def room(self, seconds: float) -> int:
        """Return how many requests this thread may start within `seconds` seconds, if no other thread sends any.

        These are at least the ones that it reserved.
        """
        with self._lock:
            return self._own.reserved + pacing.room(pacing.fill(self._pace, self._clock()), seconds)

    def learn(self, good: int, *, overloaded: bool) -> None:
        """Adjust the rate to a round of replies."""
        with self._lock:
            self._pace = pacing.speed_up(self._pace, good)
            if overloaded:
                self._pace = pacing.slow_down(self._pace, self._clock())
