"""How many requests a second the stub allows, as S3 does for a prefix: a token bucket, its history kept by the second."""

from __future__ import annotations

import time
from collections import defaultdict

BURST_SECONDS = 0.25


class Unlimited:
    """Everything is allowed; nothing is remembered."""

    history: dict[int, list[float]] = {}  # noqa: RUF012 - stays empty

    def allows(self) -> bool:
        """Return whether a request may pass now."""
        return True


class Allowance:
    """`rate` requests a second, doubled every `doubling_seconds` since the first request until `highest`."""

    def __init__(self, rate: float, doubling_seconds: float | None = None, highest: float = 3500.0) -> None:
        self._start_rate = rate
        self._doubling_seconds = doubling_seconds
        self._highest = highest
        self._began: float | None = None
        self._filled_at = 0.0
        self._tokens = 0.0
        self.history: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0.0])
        """Second since the first request → [passed, refused, rate allowed]."""

    def allows(self) -> bool:
        """Return whether a request may pass now; count it either way."""
        now = time.monotonic()
        if self._began is None:
            self._began = self._filled_at = now
            self._tokens = self._start_rate * BURST_SECONDS
        rate = self._rate(now - self._began)
        self._tokens = min(rate * BURST_SECONDS, self._tokens + (now - self._filled_at) * rate)
        self._filled_at = now
        passed = self._tokens >= 1.0
        if passed:
            self._tokens -= 1.0
        second = self.history[int(now - self._began)]
        second[0 if passed else 1] += 1
        second[2] = rate
        return passed

    def _rate(self, elapsed: float) -> float:
        if not self._doubling_seconds:
            return self._start_rate
        return min(self._highest, self._start_rate * 2.0 ** int(elapsed / self._doubling_seconds))
