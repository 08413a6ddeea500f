"""How fast requests may go, decided from numbers that are passed in: no clock, no chance, no I/O.

A token bucket whose rate starts at 100 requests/s. Until the first 503 every good reply adds one request/s, so the rate
doubles each second. A 503 halves it, at most once in HOLD_SECONDS, since one overload answers many requests in flight; a later
one takes off only a little, if at least half a second's worth of requests was served since. Between them the rate grows the
faster, the longer none came: near a fixed allowance it stays just below, and where the allowance grows it follows. A rate
that is not used does not grow.
"""

from __future__ import annotations

from typing import NamedTuple

START_RATE = 100.0
LOWEST_RATE = 1.0
GROWTH_SHARE = 0.008
"""How much of itself the rate grows in the first second after a 503; n + 1 times as much in the nth second after it."""
LATE_CUT = 0.85
BURST_SECONDS = 0.1
HOLD_SECONDS = 1.0

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 20.0
LONGEST_RETRY_AFTER_SECONDS = 30.0


class Pace(NamedTuple):
    """The limiter's state. `rate` and `max_rate` in requests a second; `tokens` are requests that may start at once.

    `good`: replies since the last cut that were no 503.
    """

    rate: float
    max_rate: float
    tokens: float
    filled_at: float
    slowed_at: float | None = None
    good: int = 0


def started(now: float, max_rate: float | None = None) -> Pace:
    """Return the state to begin with; `max_rate` None: no ceiling but S3's own."""
    ceiling = float("inf") if max_rate is None else max_rate
    rate = min(START_RATE, ceiling)
    return Pace(rate, ceiling, _burst(rate), now)


def filled(pace: Pace, now: float) -> Pace:
    """Return the state at `now`: tokens have dripped in since the last time."""
    elapsed = max(0.0, now - pace.filled_at)
    return pace._replace(tokens=min(_burst(pace.rate), pace.tokens + elapsed * pace.rate), filled_at=now)


def allowed(pace: Pace) -> int:
    """Return how many requests may start at once."""
    return int(pace.tokens)


def spent(pace: Pace, requests: int) -> Pace:
    """Return the state after `requests` were started."""
    return pace._replace(tokens=pace.tokens - requests)


def wait_seconds(pace: Pace) -> float:
    """Return how long until one more request may start; 0 if one may now."""
    return max(0.0, (1.0 - pace.tokens) / pace.rate)


def room(pace: Pace, seconds: float) -> int:
    """Return how many requests may start within so many seconds."""
    return int(pace.tokens + pace.rate * seconds)


def answered(pace: Pace, replies: int) -> Pace:
    """Return the state after good replies: faster, if the rate was what held requests back."""
    pace = pace._replace(good=pace.good + replies)
    if pace.tokens >= 1.0 or pace.rate >= pace.max_rate:
        return pace
    growth = 1.0 if pace.slowed_at is None else GROWTH_SHARE * (1.0 + max(0.0, pace.filled_at - pace.slowed_at))
    return pace._replace(rate=min(pace.max_rate, pace.rate + growth * replies))


def slowed(pace: Pace, now: float) -> Pace:
    """Return the state after a 503: no tokens, and 85 % of the rate, or half where most were refused; cut once a second."""
    since = None if pace.slowed_at is None else now - pace.slowed_at
    if since is not None and since < HOLD_SECONDS:
        return pace
    cut = 0.5 if since is None or pace.good < pace.rate / 2 else LATE_CUT
    rate = min(pace.max_rate, max(LOWEST_RATE, pace.rate * cut))
    return pace._replace(rate=rate, tokens=0.0, slowed_at=now, good=0)


def delay_seconds(attempt: int, random: float, retry_after: float | None = None) -> float:
    """Return the wait before the next attempt after `attempt` (from 1) failed: full jitter, never less than `retry_after`.

    `random` is in [0, 1). Source: "Exponential Backoff And Jitter", the AWS Architecture Blog.

    >>> delay_seconds(1, 0.5), delay_seconds(3, 0.5), delay_seconds(40, 0.5), delay_seconds(1, 0.5, 7.0)
    (0.1, 0.4, 10.0, 7.0)
    """
    jitter = random * min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 30))
    return max(jitter, min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS))


def _burst(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)
