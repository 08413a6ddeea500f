"""The body of a request as a file that a worker thread reads while it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio import fail_after, from_thread

STALL_SECONDS = 60.0
"""How long the next bytes of a body may take."""


class BodyStalled(Exception):
    """No byte of the body has come for STALL_SECONDS."""


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
        """Return the next chunk that is not empty; nothing at the end. Raises BodyStalled."""
        try:
            with fail_after(STALL_SECONDS):
                async for chunk in self._chunks:
                    if chunk:
                        return chunk
        except TimeoutError:
            raise BodyStalled from None
        return b""
