"""The limiter that all threads of a plane share: core.pacing with a lock and a clock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from rehouse.core import pacing


class Throttle:
    """Limits how many requests may start, and counts the requests sent, by kind."""

    def __init__(self, max_rate: float | None, clock: Callable[[], float]) -> None:
        self.sent: Counter[str] = Counter()
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = pacing.start(clock(), max_rate)

    def take(self, wanted: int) -> int:
        """Return how many of `wanted` requests may start now, and count them as started."""
        with self._lock:
            pace = pacing.fill(self._pace, self._clock())
            granted = min(wanted, pacing.requests_allowed(pace))
            self._pace = pacing.spend(pace, granted)
            return granted

    def give_back(self, requests: int) -> None:
        """Give back requests that were granted but not sent."""
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
        """Return how many requests may start within `seconds` seconds, if no other thread sends any."""
        with self._lock:
            return pacing.room(pacing.fill(self._pace, self._clock()), seconds)

    def learn(self, good: int, *, overloaded: bool) -> None:
        """Adjust the rate to a round of replies."""
        with self._lock:
            self._pace = pacing.speed_up(self._pace, good)
            if overloaded:
                self._pace = pacing.slow_down(self._pace, self._clock())
