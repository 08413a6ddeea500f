"""Durations as people write them on the command line: a number and a unit, or 0."""

from __future__ import annotations

import re
from datetime import timedelta

_FORM = re.compile(r"(\d{1,6})([dhms])", re.ASCII)
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def parse_duration(text: str) -> timedelta:
    """Parse a duration. Raises ValueError, which states the accepted form.

    >>> parse_duration("7d"), parse_duration("30m"), parse_duration("0")
    (datetime.timedelta(days=7), datetime.timedelta(seconds=1800), datetime.timedelta(0))
    """
    if text == "0":
        return timedelta(0)
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("a length of time is written like 7d, 12h, 30m or 0")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def format_duration(length: timedelta) -> str:
    """Format a duration as `duration` reads it, in the largest unit that divides it.

    >>> format_duration(timedelta(days=7)), format_duration(timedelta(hours=36)), format_duration(timedelta(0))
    ('7d', '36h', '0')
    """
    seconds = round(length.total_seconds())
    for letter, unit in _UNITS.items():
        count, rest = divmod(seconds, round(timedelta(**{unit: 1}).total_seconds()))
        if count and not rest:
            return f"{count}{letter}"
    return "0"


def spell_duration(length: timedelta) -> str:
    """Format a duration for people, in the largest unit that divides it.

    >>> spell_duration(timedelta(days=7)), spell_duration(timedelta(hours=36)), spell_duration(timedelta(0))
    ('7 days', '36 hours', '0 days')
    """
    seconds = round(length.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(seconds, size)
        if count and not rest:
            return f"{count} {unit}" + ("" if count == 1 else "s")
    return "0 days"
