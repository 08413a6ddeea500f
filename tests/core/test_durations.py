"""Lengths of time as they are written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.durations import parse_duration, spell_duration


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "7 d", "1.5d", "7D", "1w", "٧d", "0d0h", "99999999d", "7d\n"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="like 7d, 12h"):
        parse_duration(text)


@given(st.integers(0, 999_999), st.sampled_from("dhms"))
def test_a_number_of_units(number: int, unit: str) -> None:
    days, seconds = divmod(number * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit], 86400)
    assert parse_duration(f"{number}{unit}") == timedelta(days, seconds)


@given(st.integers(1, 999_999))
def test_a_length_is_spelled_exactly(seconds: int) -> None:
    number, unit = spell_duration(timedelta(seconds=seconds)).split()
    assert parse_duration(number + unit[0]) == timedelta(seconds=seconds)
