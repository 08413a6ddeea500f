"""Retry rows that other transactions have locked a few times within a run; after that they are left to the next run."""

from __future__ import annotations

import time
from collections.abc import Iterator

PASSES = 40
PAUSE_SECONDS = 0.25
"""The pauses before the retries, about ten seconds in all."""


def passes() -> Iterator[int]:
    """Yield the numbers of the passes over the rows, from 0, with a pause after each."""
    for number in range(PASSES):
        yield number
        time.sleep(PAUSE_SECONDS)
