"""The process of a command: its garbage collector, and output streams that survive a reader who leaves (`| head`).

A command runs to its end, and its exit status is its own: 0 stays 0, and findings stay 1.
"""

from __future__ import annotations

import gc
import io
import sys
from typing import Any, TextIO

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


class Outlet(io.FileIO):
    """A file descriptor whose reader may have seen enough."""

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        """Write what the reader takes; say that all of it was taken once nobody reads any more."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(memoryview(data))


def outlive_readers() -> None:
    """Let both streams outlive whoever reads them."""
    sys.stdout, sys.stderr = _patient(sys.stdout), _patient(sys.stderr)


def _patient(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = io.BufferedWriter(Outlet(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        raw,
        encoding=stream.encoding,
        errors="backslashreplace",  # a key that this terminal cannot show ends nothing
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
