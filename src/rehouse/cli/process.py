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


def collect_no_more() -> None:
    """Let the process end without a last look: the system takes back at once what is left, and looking takes 0.06 s."""
    gc.freeze()
