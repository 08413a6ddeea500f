"""How many requests a second the stub allows, as S3 does for a prefix: a token bucket, its history kept by the second."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST_SECONDS = 0.25


class Unlimited:
    """Everything is allowed; nothing is remembered."""

    history: dict[int, list[float]] = {}  # noqa: RUF012 - stays empty

    def allows(self) -> bool:
        """Return whether a request may pass now."""
        return True


class Allowance:
    """`rate` requests a second, doubled every `doubling_seconds` since the first request until `highest`."""

    def __init__(
        self,
        rate: float,
        doubling_seconds: float | None = None,
        highest: float = 3500.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._start_rate = rate
        self._doubling_seconds = doubling_seconds
        self._highest = highest
        self._clock = clock
        self._began: float | None = None
        self._filled_at = 0.0
        self._tokens = 0.0
        self.history: dict[int, list[float]] = {}
        """Second since the first request → [passed, refused, rate allowed]; those without a request are there too."""

    def allows(self) -> bool:
        """Return whether a request may pass now; count it either way."""
        now = self._clock()
        if self._began is None:
            self._began = self._filled_at = now
            self._tokens = self._start_rate * BURST_SECONDS
        rate = self._rate(now - self._began)
        self._tokens = min(rate * BURST_SECONDS, self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        passed = self._tokens >= 1.0
        if passed:
            self._tokens -= 1.0
        self._second(int(now - self._began))[0 if passed else 1] += 1
        return passed

    def _second(self, second: int) -> list[float]:
        for each in range(len(self.history), second + 1):
            self.history[each] = [0, 0, self._rate(each)]
        return self.history[second]

    def _rate(self, elapsed: float) -> float:
        if not self._doubling_seconds:
            return self._start_rate
        return min(self._highest, self._start_rate * 2.0 ** int(elapsed / self._doubling_seconds))
