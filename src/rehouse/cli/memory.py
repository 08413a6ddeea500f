"""The garbage collector of a process that moves many documents: it looks seldom, for what it looks for is hardly made."""

from __future__ import annotations

import gc

NEW_OBJECTS = 10_000


def collect_seldom() -> None:
    """Leave what was imported out of every collection, and collect after 10,000 new objects instead of 700.

    A run makes a dozen small objects for each document and no cycles among them: counting references frees them all.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)
