"""An object as a seekable binary file: read from the start it is one GET, and after a seek ranges that grow as reading goes on.

Every request after the first carries the first answer's ETag: what is read is always one object. For small reads wrap it in
io.BufferedReader.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from rehouse.core.errors import StorageRefused
from rehouse.s3.objects.answers import StoredObject
from rehouse.s3.objects.download import Download

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FIRST_AHEAD_BYTES = 256 * 1024
"""How much the first range after a seek asks for; each one that follows it asks for twice as much."""
MOST_AHEAD_BYTES = 8 * 1024 * 1024
SKIPPED_BYTES = 256 * 1024
"""How far ahead a seek may go so that reading the bytes between is cheaper than another request."""
TAIL_BYTES = 64 * 1024
"""How much of the end is fetched to learn the size, for whoever seeks from the end first (a zip's directory is there)."""

Get = Callable[[int, int | None, str | None], Download]
"""(the first byte, negative: from the end; the one after the last; the ETag of the condition) → the download."""


class ObjectReader(io.RawIOBase):
    """Reads an object through `get`; nothing is requested before the first read.

    Raises NoSuchObject, PreconditionFailed if the object was replaced since the first read, StorageRefused, StorageUnavailable.
    """

    def __init__(self, get: Get, name: str) -> None:
        super().__init__()
        self.name = name
        self._get = get
        self._object: StoredObject | None = None
        self._download: Download | None = None
        self._position = 0
        self._ahead_bytes = FIRST_AHEAD_BYTES
        self._tail = b""

    @property
    def object(self) -> StoredObject:
        """The object, as its first answer describes it."""
        if self._object is None:
            self._open(self._position)
        assert self._object is not None
        return self._object

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next read."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; only one from the end may need a request."""
        self._check_open()
        if whence == os.SEEK_SET:
            position = offset
        elif whence == os.SEEK_CUR:
            position = self._position + offset
        elif whence == os.SEEK_END:
            position = self._size() + offset
        else:
            raise ValueError(f"invalid whence: {whence}")
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def read(self, size: int | None = -1) -> bytes:
        """Return at most `size` bytes, all that are left if it is negative; none only at the end."""
        self._check_open()
        if size is None or size < 0:
            return self.readall()
        return self._some(size)

    def readall(self) -> bytes:
        """Return everything from here to the end."""
        self._check_open()
        parts = []
        while part := self._some(MOST_AHEAD_BYTES, to_the_end=True):
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read into a buffer and return how many bytes."""
        view = memoryview(buffer).cast("B")
        found = self.read(len(view))
        view[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """End the request that is open."""
        if self._download is not None:
            self._download.close()
            self._download = None
        super().close()

    def _some(self, most: int, *, to_the_end: bool = False) -> bytes:
        if most <= 0 or (self._object is not None and self._position >= self._object.size):
            return b""
        found = self._from_tail(most)
        if not found:
            opened = self._stream(to_the_end=to_the_end)
            found = opened.some(most) if opened.position == self._position else b""  # else it lies behind the end
        self._position += len(found)
        return found

    def _from_tail(self, most: int) -> bytes:
        if not self._tail or self._object is None:
            return b""
        start = self._position - (self._object.size - len(self._tail))
        return self._tail[start : start + most] if start >= 0 else b""

    def _stream(self, *, to_the_end: bool) -> Download:
        """Return a download whose next byte is the one at the position."""
        opened = self._download
        if opened is not None:
            distance = self._position - opened.position
            if 0 <= distance <= min(SKIPPED_BYTES, opened.remaining - 1):
                opened.skip(distance)
                return opened
            follows = distance == 0  # the range is used up, and reading goes on behind it
            self._ahead_bytes = min(2 * self._ahead_bytes, MOST_AHEAD_BYTES) if follows else FIRST_AHEAD_BYTES
            opened.close()
        return self._open(self._position, to_the_end=to_the_end)

    def _open(self, start: int, *, to_the_end: bool = False) -> Download:
        if self._object is None:
            opened = self._first(start)
        else:
            end = None if to_the_end else min(start + self._ahead_bytes, self._object.size)
            opened = self._get(start, end, self._object.etag)
        self._download, self._object = opened, self._object or opened.object
        return opened

    def _first(self, start: int) -> Download:
        if start == 0:
            return self._get(0, None, None)
        try:
            return self._get(start, start + self._ahead_bytes, None)
        except StorageRefused as error:
            if error.code != "InvalidRange":
                raise
        return self._get(0, None, None)  # it is shorter: the answer tells its size

    def _size(self) -> int:
        if self._object is None:
            try:
                with self._get(-TAIL_BYTES, None, None) as tail:
                    self._tail, self._object = tail.read(), tail.object
            except StorageRefused as error:
                if error.code != "InvalidRange":
                    raise
                self._open(0)  # an empty object has no last bytes
        assert self._object is not None
        return self._object.size

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")
