"""The limiter's decisions: never faster than allowed, half on an overload, back again; and the back-off's bounds."""

from hypothesis import given
from hypothesis import strategies as st

from rehouse.core import pacing

times = st.floats(0, 1e6)
gaps = st.lists(st.floats(0, 5), min_size=1, max_size=60)


@given(gaps, st.one_of(st.none(), st.floats(0.5, 5000)))
def test_no_more_requests_start_than_time_has_allowed(waits, max_rate):
    pace, now, sent, budget = pacing.started(0.0, max_rate), 0.0, 0, 0.0
    budget = max(1.0, pace.rate * pacing.BURST_SECONDS)
    for wait in waits:
        now += wait
        budget += wait * pace.rate
        pace = pacing.filled(pace, now)
        granted = pacing.allowed(pace)
        pace = pacing.answered(pacing.spent(pace, granted), granted)
        sent += granted
        assert sent <= budget + 1e-6
        assert pace.rate <= (max_rate or float("inf"))


@given(st.lists(st.sampled_from(["good", "slow", "use"]), max_size=200), st.floats(0.5, 5000))
def test_the_rate_stays_between_its_bounds_and_waiting_always_ends(events, max_rate):
    pace, now = pacing.started(0.0, max_rate), 0.0
    for event in events:
        now += 0.3
        pace = pacing.filled(pace, now)
        if event == "good":
            pace = pacing.answered(pace, 10)
        elif event == "slow":
            pace = pacing.slowed(pace, now)
        else:
            pace = pacing.spent(pace, pacing.allowed(pace))
        assert min(max_rate, pacing.LOWEST_RATE) <= pace.rate <= max(max_rate, pacing.LOWEST_RATE)
        later = pacing.filled(pace, now + pacing.wait_seconds(pace) + 1e-6)
        assert pacing.allowed(later) >= 1


def test_a_rate_that_is_used_doubles_each_second_until_the_first_overload():
    pace = pacing.spent(pacing.started(0.0), 10)
    assert pacing.answered(pace, 100).rate == 200.0


def test_an_overload_halves_the_rate_and_a_second_one_in_the_same_moment_does_not():
    pace = pacing.slowed(pacing.started(0.0), 10.0)
    assert (pace.rate, pace.tokens) == (50.0, 0.0)
    assert pacing.slowed(pace, 10.5).rate == 50.0
    assert pacing.slowed(pace, 11.5).rate == 25.0


def test_after_an_overload_the_rate_grows_by_a_fixed_step_for_each_second_of_replies():
    pace = pacing.slowed(pacing.started(0.0), 10.0)
    assert pacing.answered(pace, 50).rate == 50.0 + pacing.GROWTH_A_SECOND


def test_a_rate_that_is_not_used_does_not_grow():
    pace = pacing.started(0.0)
    assert pacing.answered(pace, 1000) == pace


def test_the_clock_going_back_takes_nothing_away():
    pace = pacing.started(100.0)
    assert pacing.filled(pace, 50.0).tokens == pace.tokens


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.floats(0, 1e6)))
def test_the_back_off_is_at_least_what_the_server_asks_and_never_above_its_bounds(attempt, random, retry_after):
    delay = pacing.delay_seconds(attempt, random, retry_after)
    asked = min(retry_after or 0.0, pacing.LONGEST_RETRY_AFTER_SECONDS)
    assert asked <= delay <= max(asked, pacing.LONGEST_DELAY_SECONDS)
