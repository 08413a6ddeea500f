"""How fast requests may start, decided from the numbers passed in: no clock, no randomness, no I/O.

A token bucket whose rate starts at 100 requests/s. Until the first 503 every good reply adds one request/s, so the rate
doubles each second. A 503 cuts the rate, at most once in HOLD_SECONDS, because one overload affects many requests in flight.
The first 503 halves it. A later one takes off only a little if at least half a second's worth of requests succeeded since the
last cut, else it halves the rate too. The longer no 503 comes, the faster the rate grows. So it stays just below a fixed limit
of S3 and follows a limit that grows. A rate that is not fully used does not grow.
"""

from __future__ import annotations

from typing import NamedTuple

START_RATE = 100.0
LOWEST_RATE = 1.0
GROWTH_SHARE = 0.008
"""The share by which the rate grows in the first second after a 503; after n more seconds it is n + 1 times as much."""
LATE_CUT = 0.85
BURST_SECONDS = 0.1
HOLD_SECONDS = 1.0

FIRST_DELAY_SECONDS = 0.2
LONGEST_DELAY_SECONDS = 20.0
LONGEST_RETRY_AFTER_SECONDS = 30.0


class Pace(NamedTuple):
    """The limiter's state.

    `rate` and `max_rate` in requests per second; times in seconds of the caller's clock. `tokens`: how many requests may start
    at once. `good`: how many replies since the last cut were not a 503.
    """

    rate: float
    max_rate: float
    tokens: float
    filled_at: float
    slowed_at: float | None = None
    good: int = 0


def start(now: float, max_rate: float | None = None) -> Pace:
    """Return the initial state; without `max_rate` only S3 limits the rate."""
    ceiling = float("inf") if max_rate is None else max_rate
    rate = min(START_RATE, ceiling)
    return Pace(rate, ceiling, _burst(rate), now)


def fill(pace: Pace, now: float) -> Pace:
    """Return the state at `now`, with the tokens that accrued since the last call."""
    elapsed = max(0.0, now - pace.filled_at)
    return pace._replace(tokens=min(_burst(pace.rate), pace.tokens + elapsed * pace.rate), filled_at=now)


def requests_allowed(pace: Pace) -> int:
    """Return how many requests may start at once."""
    return int(pace.tokens)


def spend(pace: Pace, requests: int) -> Pace:
    """Return the state after `requests` were started."""
    return pace._replace(tokens=pace.tokens - requests)


def wait_seconds(pace: Pace) -> float:
    """Return the seconds until another request may start; 0 if one may start now."""
    return max(0.0, (1.0 - pace.tokens) / pace.rate)


def room(pace: Pace, seconds: float) -> int:
    """Return how many requests may start within `seconds` seconds."""
    return int(pace.tokens + pace.rate * seconds)


def speed_up(pace: Pace, replies: int) -> Pace:
    """Return the state after good replies: the rate grows if it was what limited the requests."""
    pace = pace._replace(good=pace.good + replies)
    if pace.tokens >= 1.0 or pace.rate >= pace.max_rate:
        return pace
    growth = 1.0 if pace.slowed_at is None else GROWTH_SHARE * (1.0 + max(0.0, pace.filled_at - pace.slowed_at))
    return pace._replace(rate=min(pace.max_rate, pace.rate + growth * replies))


def slow_down(pace: Pace, now: float) -> Pace:
    """Return the state after a 503: no tokens, and a lower rate, cut at most once in HOLD_SECONDS.

    The rate falls to 85 %, or to half at the first 503 and if few requests succeeded since the last cut.
    """
    since = None if pace.slowed_at is None else now - pace.slowed_at
    if since is not None and since < HOLD_SECONDS:
        return pace
    cut = 0.5 if since is None or pace.good < pace.rate / 2 else LATE_CUT
    rate = min(pace.max_rate, max(LOWEST_RATE, pace.rate * cut))
    return pace._replace(rate=rate, tokens=0.0, slowed_at=now, good=0)


def delay_seconds(attempt: int, random: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after attempt number `attempt` (from 1) failed.

    Full jitter, never less than `retry_after`. `random` is in [0, 1). Source: "Exponential Backoff And Jitter", the AWS
    Architecture Blog.

    >>> delay_seconds(1, 0.5), delay_seconds(3, 0.5), delay_seconds(40, 0.5), delay_seconds(1, 0.5, 7.0)
    (0.1, 0.4, 10.0, 7.0)
    """
    jitter = random * min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 30))
    return max(jitter, min(retry_after or 0.0, LONGEST_RETRY_AFTER_SECONDS))


def _burst(rate: float) -> float:
    return max(1.0, rate * BURST_SECONDS)
