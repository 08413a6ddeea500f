"""Connections that this process does not need: it closes them if PostgreSQL allows no further connection.

A role or a database may have a CONNECTION LIMIT. A connection that only shows progress must never take the place of one that does
the work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_guard = threading.RLock()
_closings: list[Callable[[], None]] = []


@contextmanager
def opening_spare() -> Iterator[None]:
    """Allow the block to open and register a spare connection; nobody closes spare connections meanwhile."""
    with _guard:
        yield


def register_spare(close: Callable[[], None]) -> None:
    """Register the function that closes a spare connection. It may be called from any thread, and more than once."""
    with _guard:
        _closings.append(close)


def forget_spare(close: Callable[[], None]) -> None:
    """Forget a spare connection that was closed."""
    with _guard:
        if close in _closings:
            _closings.remove(close)


def close_spare() -> bool:
    """Close every spare connection of this process; return whether there was one."""
    with _guard:
        closings = _closings.copy()
        _closings.clear()
        for close in closings:
            close()
        return bool(closings)
