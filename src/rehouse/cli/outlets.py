"""Standard output and error for a process whose reader may go (`| head`): what nobody reads is dropped, and nothing else happens.

A command goes on to its end, and its exit status is its own: 0 stays 0, and findings stay 1.
"""

from __future__ import annotations

import io
import sys
from typing import Any, TextIO


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
