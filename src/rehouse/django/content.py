"""Files between Django and the storage: the content of an upload as a binary stream, and an object as a File of Django."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core.files.base import File

from rehouse.core.errors import BadUpload
from rehouse.core.uploads import check_content_type
from rehouse.runtime.streams import SINGLE_BYTES

if TYPE_CHECKING:
    from rehouse.django.storage import TenantFileStorage


class ContentStream:
    """The chunks of a File as a binary stream; text becomes UTF-8. `size` is None where only the last chunk will tell."""

    def __init__(self, content: Any) -> None:
        self._chunks: Iterator[bytes | str] = iter(content.chunks())
        first = next(self._chunks, b"")
        self.size: int | None = None if isinstance(first, str) else _size_of(content)
        self._ahead = _bytes_of(first)

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        while not self._ahead:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._ahead = _bytes_of(chunk)
        given, self._ahead = self._ahead[:size], self._ahead[size:]
        return given


class TenantFile(File):
    """An object that was opened for reading. Closed, it can be opened again, through the storage."""

    def __init__(self, file: Any, name: str, mode: str, storage: TenantFileStorage) -> None:
        super().__init__(file, name)
        self.mode, self._storage = mode, storage

    @property
    def size(self) -> int:
        """The size of the object; the file itself is not asked, because its name may be that of a file on this machine."""
        return self._storage.size(self.name)

    def open(self, mode: str | None = None, *_arguments: Any, **_options: Any) -> TenantFile:
        """Go to the beginning, or open a closed file again."""
        if self.closed or (mode or self.mode) != self.mode:
            opened = self._storage.open(self.name, mode or self.mode)
            self.file, self.mode = opened.file, opened.mode
        else:
            self.seek(0)
        return self


def content_type_of(content: Any, name: str) -> str:
    """Return the content type that a browser declared, if it is one, else what the name suggests, else ""."""
    declared = getattr(content, "content_type", None) or ""
    try:
        if declared:
            return check_content_type(declared)
    except BadUpload:
        pass  # a browser's word, which nobody needs
    return mimetypes.guess_type(name)[0] or ""


def _size_of(content: Any) -> int | None:
    """Return the size of a large file; that of a small one is counted, because a size that was declared may be wrong."""
    try:
        size = int(content.size)
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    return size if size > SINGLE_BYTES else None


def _bytes_of(chunk: Any) -> bytes:
    return chunk.encode() if isinstance(chunk, str) else bytes(chunk)
