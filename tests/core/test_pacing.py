"""The limiter's decisions: never faster than allowed, half on an overload, back again; and the back-off's bounds."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core import pacing

times = st.floats(0, 1e6)
gaps = st.lists(st.floats(0, 5), min_size=1, max_size=60)


@given(gaps, st.one_of(st.none(), st.floats(0.5, 5000)))
def test_no_more_requests_start_than_time_has_allowed(waits, max_rate):
    pace, now, sent, budget = pacing.start(0.0, max_rate), 0.0, 0, 0.0
    budget = max(1.0, pace.rate * pacing.BURST_SECONDS)
    for wait in waits:
        now += wait
        budget += wait * pace.rate
        pace = pacing.fill(pace, now)
        granted = pacing.requests_allowed(pace)
        pace = pacing.speed_up(pacing.spend(pace, granted), granted)
        sent += granted
        assert sent <= budget + 1e-6
        assert pace.rate <= (max_rate or float("inf"))


@given(st.lists(st.sampled_from(["good", "slow", "use"]), max_size=200), st.floats(0.5, 5000))
def test_the_rate_keeps_its_bounds_and_waiting_ends(events, max_rate):
    pace, now = pacing.start(0.0, max_rate), 0.0
    for event in events:
        now += 0.3
        pace = pacing.fill(pace, now)
        if event == "good":
            pace = pacing.speed_up(pace, 10)
        elif event == "slow":
            pace = pacing.slow_down(pace, now)
        else:
            pace = pacing.spend(pace, pacing.requests_allowed(pace))
        assert min(max_rate, pacing.LOWEST_RATE) <= pace.rate <= max_rate
        later = pacing.fill(pace, now + pacing.wait_seconds(pace) + 1e-6)
        assert pacing.requests_allowed(later) >= 1


def test_a_used_rate_doubles_until_the_first_overload():
    pace = pacing.spend(pacing.start(0.0), 10)
    assert pacing.speed_up(pace, 100).rate == 200.0


def test_an_overload_halves_the_rate_once_a_moment():
    pace = pacing.slow_down(pacing.start(0.0), 10.0)
    assert (pace.rate, pace.tokens) == (50.0, 0.0)
    assert pacing.slow_down(pace, 10.5).rate == 50.0
    assert pacing.slow_down(pace, 11.5).rate == 25.0


def test_a_ceiling_below_one_a_second_survives_an_overload():
    assert pacing.slow_down(pacing.start(0.0, 0.5), 10.0).rate == 0.5


def test_an_overload_after_good_replies_takes_off_only_a_little():
    pace = pacing.slow_down(pacing.start(0.0), 10.0)
    assert pacing.slow_down(pacing.speed_up(pacing.fill(pace, 11.0), 24), 11.0).rate == pytest.approx(25.0, rel=0.01)
    served = pacing.speed_up(pacing.fill(pace, 11.0), 30)
    assert pacing.slow_down(served, 11.0).rate == served.rate * pacing.LATE_CUT


def test_the_rate_grows_faster_the_longer_no_overload_came():
    pace = pacing.slow_down(pacing.start(0.0), 10.0)
    at_once, later = (pacing.spend(pacing.fill(pace, now), 5) for now in (10.0, 14.0))
    assert pacing.speed_up(at_once, 50).rate == pytest.approx(50.0 + 50 * pacing.GROWTH_SHARE)
    assert pacing.speed_up(later, 50).rate == pytest.approx(50.0 + 50 * pacing.GROWTH_SHARE * 5)


def simulated(allowance: Callable[[float], float], seconds: int) -> list[tuple[float, int, int]]:
    """Return for each second (the allowance, good replies, refusals) of a client that always has work."""
    pace, room, told = pacing.start(0.0), 10.0, []
    for second in range(seconds):
        good = refused = 0
        for tick in range(100):
            now = second + tick / 100
            rate = allowance(now)
            room = min(rate / 10, room + rate / 100)
            pace = pacing.fill(pace, now)
            sent = pacing.requests_allowed(pace)
            pace = pacing.spend(pace, sent)
            served = min(sent, int(room))
            room -= served
            good, refused = good + served, refused + sent - served
            pace = pacing.speed_up(pace, served)
            if sent > served:
                pace = pacing.slow_down(pace, now)
        told.append((allowance(float(second)), good, refused))
    return told


@pytest.mark.parametrize("allowed", [200.0, 1000.0, 3500.0])
def test_a_fixed_allowance_is_used_and_hardly_exceeded(allowed):
    told = simulated(lambda _: allowed, 90)
    assert all(good + refused <= 2 * allowed for _, good, refused in told)
    settled = told[30:]
    good, refused = sum(each[1] for each in settled), sum(each[2] for each in settled)
    assert good >= 0.95 * allowed * len(settled)
    assert refused <= 0.01 * good


def test_a_growing_or_shrinking_allowance_is_followed():
    told = simulated(lambda now: 200.0 * 2 ** (now // 10), 60)
    assert sum(good for _, good, _ in told) >= 0.4 * sum(allowance for allowance, _, _ in told)
    told = simulated(lambda now: 3500.0 if now < 40 else 300.0, 60)
    assert sum(refused for _, _, refused in told[46:]) <= 0.05 * sum(good for _, good, _ in told[46:])


def test_a_rate_that_is_not_used_does_not_grow():
    pace = pacing.start(0.0)
    assert pacing.speed_up(pace, 1000).rate == pace.rate


def test_the_clock_going_back_takes_nothing_away():
    pace = pacing.start(100.0)
    assert pacing.fill(pace, 50.0).tokens == pace.tokens


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.floats(0, 1e6)))
def test_the_back_off_is_what_the_server_asks_within_bounds(attempt, random, retry_after):
    delay = pacing.delay_seconds(attempt, random, retry_after)
    asked = min(retry_after or 0.0, pacing.LONGEST_RETRY_AFTER_SECONDS)
    assert asked <= delay <= max(asked, pacing.LONGEST_DELAY_SECONDS)
