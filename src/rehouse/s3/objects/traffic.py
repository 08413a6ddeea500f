"""How much a caller sent and received: a count that follows its requests, whatever they are made by."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Traffic:
    """What was sent and received: requests, with those that were repeated, and the bytes of bodies."""

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


_counted: ContextVar[Traffic | None] = ContextVar("traffic", default=None)


@contextmanager
def count_traffic(traffic: Traffic | None = None) -> Iterator[Traffic]:
    """Count all requests that this thread makes in the block, and what a download that it opens receives later."""
    counted = traffic or Traffic()
    token = _counted.set(counted)
    try:
        yield counted
    finally:
        _counted.reset(token)


def counted_traffic() -> Traffic | None:
    """Return where the requests of this thread are counted, if anywhere."""
    return _counted.get()
