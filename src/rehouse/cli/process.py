"""The process of a command: its garbage collector, its signals, and output streams that ignore a closed pipe (`| head`).

A closed pipe does not end a command and does not change its exit status.
"""

from __future__ import annotations

import _thread
import gc
import io
import select
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TextIO

NEW_OBJECTS = 10_000
STOPPING = (signal.SIGINT, signal.SIGTERM)
"""The signals that ask a command to end."""


@contextmanager
def handle_signals(
    handler: Callable[[int, FrameType | None], object], signals: Iterable[signal.Signals] = STOPPING
) -> Iterator[None]:
    """Handle these signals by `handler` during the block, and as before after it."""
    before = {each: signal.signal(each, handler) for each in signals}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)


@contextmanager
def stop_on_signals(stop: Callable[[], object], again: Callable[[], object]) -> Iterator[None]:
    """Call `stop` in a thread of its own on the first signal, and `again` in the handler on each further one.

    The thread that a handler interrupts may hold the very lock that `stop` needs, such as that of an Event for which it waits. To
    start the thread takes no lock of Python's, which `threading.Thread` does.
    """
    is_asked = False

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked:
            again()
        else:
            is_asked = True
            _thread.start_new_thread(stop, ())

    with handle_signals(handle):
        yield


def collect_seldom() -> None:
    """Exclude imported objects from collections, and collect after 10,000 new objects instead of 700.

    A run makes a dozen small objects for each document and no cycles among them: reference counting frees them all.
    """
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS)


def skip_last_collection() -> None:
    """Skip the collection at exit, which takes 0.06 s: the system frees the memory of the process anyway."""
    gc.freeze()


class PipeOutput(io.FileIO):
    """A file descriptor that ignores a pipe whose reader is gone."""

    def write(self, data: Any, /) -> int | None:  # type: ignore[override]
        """Write to the reader; report all bytes as written once the pipe is closed."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(memoryview(data))


def ignore_closed_pipes() -> None:
    """Replace stdout and stderr with streams that ignore a closed pipe."""
    sys.stdout, sys.stderr = _wrap_stream(sys.stdout), _wrap_stream(sys.stderr)


def _wrap_stream(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = io.BufferedWriter(PipeOutput(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(
        raw,
        encoding=stream.encoding,
        errors="backslashreplace",  # print a key that this terminal cannot encode with escapes
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def is_reader_gone() -> bool:
    """Return whether stdout is a pipe whose reader is gone. A command that would run for ever then ends."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:  # it is not a file
        return False
    asked = select.poll()
    asked.register(descriptor, 0)  # errors are reported without being asked for
    return any(found & select.POLLERR for _, found in asked.poll(0))
