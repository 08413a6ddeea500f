"""The body of a request as a file that a worker thread reads while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio import from_thread


class BodyStream:
    """A binary stream over the chunks of a body. Only worker threads of the event loop may read it."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, or all that is left; nothing at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        if not self._rest:
            self._rest = from_thread.run(self._next)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    async def _next(self) -> bytes:
        """Return the next chunk that is not empty; nothing at the end."""
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""
