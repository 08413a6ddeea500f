"""The bytes of an object as they arrive. A connection that is lost in the middle is resumed by a range of the same object.

The range carries the ETag of the first answer as its condition: a download never mixes two objects.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rehouse.core.errors import PreconditionFailed
from rehouse.core.model import Fault
from rehouse.s3.bulk.replies import Reply
from rehouse.s3.faults import refused_error, unavailable_error
from rehouse.s3.objects.answers import StoredObject, describe
from rehouse.s3.objects.http import ATTEMPTS, Http, Stream
from rehouse.s3.objects.lines import Call

_INHERITED: list[Stream] = []
"""The parent's streams after a fork, kept so that the child never closes them."""

MakeCall = Callable[[str | None, str | None], Call[Any]]
"""(the value of Range, the ETag of the condition) → the request."""


class Download:
    """An object's bytes from `start` to before `end`, as a context manager.

    `object` describes the whole object. Iteration yields the bytes in pieces of any size; `read` returns as many as asked for.
    Raises PreconditionFailed if the object is replaced while it is read, NoSuchObject if it is deleted, and StorageUnavailable
    if the connection is lost again and again.
    """

    def __init__(self, http: Http, make_call: MakeCall, span: tuple[int, int | None], if_match: str | None) -> None:
        self._http, self._make_call = http, make_call
        self._process = os.getpid()
        self._subject = ""
        self._piece, self._offset = b"", 0
        self._failures = 0
        self._stream, described, self.position, self._last = self._open(span, if_match)
        self.object: StoredObject = described

    @property
    def remaining(self) -> int:
        """How many bytes are still to come."""
        return self._last - self.position

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, or all if it is negative; fewer only at the end."""
        if size < 0:
            return b"".join(self)
        parts = []
        while size > 0 and (part := self.some(size)):
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def some(self, most: int) -> bytes:
        """Return at most `most` bytes, those that have arrived; none only at the end."""
        if self._offset >= len(self._piece):
            self._piece, self._offset = self._next(), 0
        if not self._offset and len(self._piece) <= most:
            found, self._piece = self._piece, b""
        else:
            found = self._piece[self._offset : self._offset + most]
            self._offset += len(found)
        self.position += len(found)
        return found

    def skip(self, size: int) -> None:
        """Read and forget `size` bytes."""
        while size > 0 and (part := self.some(size)):
            size -= len(part)

    def close(self) -> None:
        """End the request. What has not arrived is never read."""
        if self._process == os.getpid():
            self._stream.close()
        else:
            _INHERITED.append(self._stream)

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.some(self.remaining or 1):
            yield piece

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> bytes:
        """Return the next bytes that arrive, and go on by a new request if the connection is lost."""
        while self.position < self._last:
            if self._process != os.getpid():
                _INHERITED.append(self._stream)
                self._process = os.getpid()
                self._resume()
            piece = self._stream.chunk()
            if piece:
                self._failures = 0
                left = self._last - self.position
                if len(piece) >= left:
                    self._stream.finish()
                return piece[:left]
            self._wait_after(self._stream.reply)
            self._resume()
        self._stream.close()
        return b""

    def _wait_after(self, reply: Reply) -> None:
        self._failures += 1
        if self._failures >= ATTEMPTS:
            fault = reply.fault()
            raise unavailable_error(fault.code, fault.message, self._subject)
        self._http.pause(self._failures)

    def _resume(self) -> None:
        etag = self.object.etag
        self._stream, described, position, _ = self._open((self.position, self._last), etag)
        if described.etag != etag or position != self.position:  # the endpoint ignores conditions on reads
            self._stream.close()
            raise PreconditionFailed(self._subject)

    def _open(self, span: tuple[int, int | None], if_match: str | None) -> tuple[Stream, StoredObject, int, int]:
        """Return the stream, its object, and the positions of its first byte and after its last one."""
        call = self._make_call(range_header(*span), if_match)
        self._subject = call.subject
        stream = self._http.open(call)
        headers = stream.reply.headers()
        described = describe(headers)
        if isinstance(described, Fault):
            stream.close()
            raise refused_error(described.code, described.message, call.subject)
        first, last = _sent_range(stream.reply.status, headers, described.size)
        start = max(0, described.size + span[0]) if span[0] < 0 else min(span[0], described.size)
        wanted = described.size if span[1] is None else min(span[1], described.size)
        if first < start:  # the endpoint ignores ranges
            _discard(stream, start - first)
        return stream, described, max(first, start), min(last, wanted)


def range_header(start: int, end: int | None) -> str | None:
    """Return the value of Range for the bytes from `start` to before `end`; a negative `start` counts from the end.

    >>> range_header(0, None), range_header(5, None), range_header(0, 10), range_header(-8, None)
    (None, 'bytes=5-', 'bytes=0-9', 'bytes=-8')
    """
    if start < 0:
        return f"bytes={start}"
    if end is None:
        return f"bytes={start}-" if start else None
    return f"bytes={start}-{end - 1}"


def _sent_range(status: int, headers: Mapping[str, str], size: int) -> tuple[int, int]:
    """Return the positions of the first byte that the answer holds and after its last one."""
    span = headers.get("content-range", "").removeprefix("bytes ").partition("/")[0]
    first, _, last = span.partition("-")
    is_range = status == 206 and first.isdecimal() and last.isdecimal()
    return (int(first), int(last) + 1) if is_range else (0, size)


def _discard(stream: Stream, size: int) -> None:
    while size > 0 and (piece := stream.chunk()):
        size -= len(piece)
        if size < 0:
            stream.put_back(piece[size:])
