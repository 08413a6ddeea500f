"""Copy an object through this process, where no credentials may both read the source and write the target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rehouse.core.model import ObjectRef
from rehouse.core.uploads import part_bytes
from rehouse.s3.objects.answers import Part, StoredObject
from rehouse.s3.objects.client import ObjectClient

WHOLE_BYTES = 8 * 2**20
"""An object up to this size is written in one request, a larger one in parts of at least this size."""


def carry_object(
    reader: ObjectClient, writer: ObjectClient, source: ObjectRef, stored: StoredObject, target: ObjectRef
) -> StoredObject:
    """Read an object and write it to a key that nothing has. Its type is kept; metadata and tags are not.

    Raises NoSuchObject or PreconditionFailed if the source is not the `stored` one any more or the target exists.
    """
    if not stored.size:
        return writer.put(target, b"", content_type=stored.content_type)
    with reader.get(source, if_match=stored.etag) as download:
        if stored.size <= WHOLE_BYTES:
            return writer.put(target, b"".join(download), content_type=stored.content_type)
        upload_id = writer.create_multipart(target, content_type=stored.content_type)
        try:
            pieces = _regroup(download, part_bytes(stored.size, WHOLE_BYTES))
            parts = [
                Part(number, writer.upload_part(target, upload_id, number, piece), len(piece))
                for number, piece in enumerate(pieces, start=1)
            ]
            return writer.complete_multipart(target, upload_id, parts, only_new=True)
        except BaseException:
            writer.abort_multipart(target, upload_id)
            raise


def _regroup(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield pieces of exactly `size` bytes; the last one may be shorter."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
