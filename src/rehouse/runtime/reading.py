"""Read a document: a file over ranges of its object, and presigned URLs.

The row is read each time, and again if its object is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rehouse.core.content_disposition import content_disposition
from rehouse.core.errors import NoSuchObject, PreconditionFailed, StorageRefused
from rehouse.runtime.scope import Scope
from rehouse.runtime.values import DocumentInfo
from rehouse.s3.faults import NO_SUCH_BUCKET
from rehouse.s3.objects.download import Download
from rehouse.s3.objects.reader import ObjectReader
from rehouse.s3.objects.traffic import Traffic, count_traffic

ATTEMPTS = 3
"""How often the row is read again because its object is gone: it is moved or replaced at that moment."""


class DocumentFile(ObjectReader):
    """A document as a seekable binary file. `on_close` is called with what was read, and whether a read failed.

    `find` finds the document again when its object is gone; without it the row is read by its id.
    """

    def __init__(
        self,
        scope: Scope,
        document: DocumentInfo,
        on_close: Callable[[Traffic, bool], None] | None = None,
        find: Callable[[], DocumentInfo] | None = None,
    ) -> None:
        self._scope, self._document, self._place = scope, document, scope.place_of(document)
        self._find = find or partial(scope.document, document.document_id)
        self._on_close, self._traffic, self._has_failed = on_close, Traffic(), False
        super().__init__(self._download_from, document.name)

    def close(self) -> None:
        """End the request that is open."""
        was_closed = self.closed
        super().close()
        if not was_closed and self._on_close is not None:
            self._on_close(self._traffic, self._has_failed)

    def _download_from(self, start: int, end: int | None, etag: str | None) -> Download:
        """Return a download, of the same object wherever it is by now; before the first byte, of whatever the row points to."""
        with count_traffic(self._traffic):
            for attempt in range(ATTEMPTS):
                try:
                    return self._scope.objects.get(self._place, start=start, end=end, if_match=etag)
                except StorageRefused as error:
                    if not _is_gone(error) or attempt == ATTEMPTS - 1:
                        self._has_failed = True
                        raise
                self._document = self._find()
                self._place = self._scope.place_of(self._document)
        raise AssertionError("the last attempt returns or raises")


def open_document(
    scope: Scope, document: str | DocumentInfo, on_close: Callable[[Traffic, bool], None] | None
) -> DocumentFile:
    """Return a document's file. Raises NoSuchDocument, ForeignPointer."""
    return DocumentFile(scope, scope.document(document) if isinstance(document, str) else document, on_close)


def download_url(
    scope: Scope, document: str | DocumentInfo, *, as_name: str | None, inline: bool, expires: int | None
) -> str:
    """Return a presigned URL of the document's object; no request is sent. Raises NoSuchDocument, ForeignPointer."""
    found = scope.document(document) if isinstance(document, str) else document
    place = scope.place_of(found)
    name = as_name if as_name is not None else found.name
    if expires is None:
        expires = scope.url_seconds(place.bucket, scope.storage.settings.download_url_seconds)
    return scope.objects.presigner.get_url(
        place,
        expires=expires,
        response={"response-content-disposition": content_disposition(name, inline=inline)},
    )


def _is_gone(error: StorageRefused) -> bool:
    return isinstance(error, NoSuchObject | PreconditionFailed) or error.code == NO_SUCH_BUCKET
