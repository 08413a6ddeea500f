"""Upload a stream of the application: one PUT if it is small, else parts of which at most two are in memory and on their way.

The size counts against the tenant's limits before the first byte is sent. Where it is not known (a stream that cannot be sought,
and is larger than one part), the parts go to `temp/`, and the size is settled at the end, before anything points there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

from rehouse.core.errors import BadUpload, PreconditionFailed, RehouseError, TryAgain
from rehouse.core.model import ObjectRef
from rehouse.core.uploads import MIB, MOST_GRANT_SECONDS, MOST_PARTS, Declared, part_bytes
from rehouse.ledger.uploads import Grant
from rehouse.runtime.scope import Scope
from rehouse.runtime.uploads import choose_key, commit, copy_object, give_up, open_grant, require_row, store
from rehouse.runtime.values import OnCommit, StoredDocument
from rehouse.s3.objects.answers import Part, StoredObject
from rehouse.s3.objects.traffic import Traffic, count_traffic, counted_traffic

SINGLE_BYTES = 8 * MIB
"""The largest upload in one request, and the size of a part."""
IN_FLIGHT = 2


class Readable(Protocol):
    """A binary stream: a file, an upload of a framework, BytesIO."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Incoming:
    """A stream, what was read of it (a little more than one part, or all), and its size if that is known."""

    stream: Readable
    first: bytes
    size: int | None

    @classmethod
    def begin(cls, stream: Readable, size: int | None) -> Self:
        """Read the first part of a stream, and find out its size: it ends there, it can be sought, or the caller knows it.

        Raises BadUpload if it is no binary stream, or if it ends and has another size than `size`.
        """
        first = read_exactly(stream, SINGLE_BYTES + 1)
        if len(first) <= SINGLE_BYTES:
            _require_size(len(first), size)
            return cls(stream, first, len(first))
        return cls(stream, first, size if size is not None else _rest_of(stream, len(first)))

    @property
    def declared_size(self) -> int:
        """The size, or as much of it as is known."""
        return len(self.first) if self.size is None else self.size


def upload(
    scope: Scope, document_id: str, declared: Declared, incoming: Incoming, on_commit: OnCommit | None
) -> StoredDocument:
    """Store a stream as the document's object and point the row to it. Raises BadUpload if it has another size than declared."""
    require_row(scope, document_id, on_commit)
    is_small = incoming.size is not None and len(incoming.first) <= SINGLE_BYTES
    each = None if is_small else part_bytes(declared.size, SINGLE_BYTES)
    grant = open_grant(scope, document_id, declared, seconds=MOST_GRANT_SECONDS, part_bytes=each)
    try:
        if is_small:
            grant, stored = store(scope, grant, partial(put_whole, scope, incoming.first, declared.content_type))
        elif incoming.size is not None:
            grant, stored = _upload_in_parts(scope, choose_key(scope, grant), incoming)
        else:
            grant, stored = _upload_of_unknown_size(scope, grant, incoming)
        return commit(scope, grant, stored, on_commit, was_staged=incoming.size is None)
    except BaseException:
        give_up(scope, grant)
        raise


def read_exactly(stream: Readable, size: int) -> bytes:
    """Return `size` bytes, fewer only at the end."""
    parts: list[bytes] = []
    left = size
    while left > 0:
        part = stream.read(left)
        if not isinstance(part, bytes | bytearray | memoryview):
            raise BadUpload(
                f"the stream returned {type(part).__name__}, not bytes",
                hint="open the file in binary mode: open(path, 'rb')",
            )
        if not part:
            break
        parts.append(bytes(part))
        left -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _rest_of(stream: Readable, done: int) -> int | None:
    """Return the size of a stream that can be sought and of which `done` bytes were read; None for another one."""
    try:
        here = stream.tell()  # type: ignore[attr-defined]
        end = stream.seek(0, os.SEEK_END)  # type: ignore[attr-defined]
        stream.seek(here)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None
    return done + int(end) - int(here)


def _require_size(found: int, size: int | None) -> None:
    if size is not None and found != size:
        raise BadUpload(f"the stream has {found:,} bytes, {size:,} were declared", hint="leave size out, or correct it")


def put_whole(scope: Scope, body: bytes, content_type: str, ref: ObjectRef) -> StoredObject:
    """Upload a small stream in one request to a key that nothing has. Raises PreconditionFailed."""
    return scope.objects.put(ref, body, content_type=content_type)


def _upload_in_parts(scope: Scope, grant: Grant, incoming: Incoming) -> tuple[Grant, StoredObject]:
    """Upload parts straight to the final key, which is recorded by now."""
    assert grant.final is not None
    if scope.objects.head(grant.final) is not None:
        grant = choose_key(scope, grant, is_taken=True)
    final = grant.final
    assert final is not None
    try:
        return grant, send_parts(scope, grant, final, incoming)
    except PreconditionFailed:
        raise TryAgain(
            f"another object came to {final.bucket}/{final.key} during the upload",
            hint="upload it again",
            subject=grant.document_id,
        ) from None


def _upload_of_unknown_size(scope: Scope, grant: Grant, incoming: Incoming) -> tuple[Grant, StoredObject]:
    """Upload parts below `temp/`, let the size count against the limits, and copy the object to its final key."""
    staged = send_parts(scope, grant, grant.staged, incoming)
    with scope.ledger(durably=True) as ledger:
        tenant = scope.storage.learn(scope.named, ledger.rows).row
        grant = ledger.uploads.resize(tenant, grant, staged.size)
    return store(scope, grant, partial(copy_object, scope, grant.staged, staged))


def send_parts(scope: Scope, grant: Grant, ref: ObjectRef, incoming: Incoming) -> StoredObject:
    """Upload a stream in parts to a key that nothing has, and record the upload's id first. Raises PreconditionFailed."""
    content_type = grant.declared.content_type
    upload_id = scope.objects.create_multipart(ref, content_type=content_type)
    try:
        with scope.ledger(durably=True) as ledger:
            ledger.uploads.record_upload_id(grant, upload_id)
        parts = _PartSender(scope, ref, upload_id, grant.part_bytes or SINGLE_BYTES).send(incoming)
        if incoming.size is not None:
            _require_size(sum(part.size for part in parts), incoming.size)
        return scope.objects.complete_multipart(ref, upload_id, parts, only_new=True)
    except BaseException:
        _abort(scope, ref, upload_id)
        raise


def _abort(scope: Scope, ref: ObjectRef, upload_id: str) -> None:
    try:
        scope.objects.abort_multipart(ref, upload_id)
    except RehouseError:
        return  # the grant names the upload: the sweep aborts it


def _require_part(number: int) -> None:
    if number > MOST_PARTS:
        raise BadUpload("the stream has more than 10,000 parts", hint="pass its size: upload(…, size=…)")


class _PartSender:
    """Sends the parts of one stream, at most IN_FLIGHT of them at a time."""

    def __init__(self, scope: Scope, ref: ObjectRef, upload_id: str, each: int) -> None:
        self._scope, self._ref, self._upload_id, self._each = scope, ref, upload_id, each
        self._traffic = counted_traffic()

    def send(self, incoming: Incoming) -> list[Part]:
        """Return the parts, in order. The next one is read while the ones before it are on their way."""
        sending: list[Future[tuple[Part, Traffic]]] = []
        with ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="rehouse-part") as threads:
            try:
                for number, body in enumerate(self._bodies(incoming), start=1):
                    _require_part(number)
                    if len(sending) >= IN_FLIGHT:
                        sending[-IN_FLIGHT].result()
                    sending.append(threads.submit(self._send, number, body))
                return [self._add_traffic(each) for each in sending]
            except BaseException:
                for each in sending:
                    each.cancel()
                raise

    def _bodies(self, incoming: Incoming) -> Iterator[bytes]:
        ahead = incoming.first
        while ahead:
            if len(ahead) < self._each:
                ahead += read_exactly(incoming.stream, self._each - len(ahead))
            yield ahead[: self._each]
            ahead = ahead[self._each :] or read_exactly(incoming.stream, self._each)

    def _send(self, number: int, body: bytes) -> tuple[Part, Traffic]:
        with count_traffic() as traffic:
            etag = self._scope.objects.upload_part(self._ref, self._upload_id, number, body)
        return Part(number, etag, len(body)), traffic

    def _add_traffic(self, sending: Future[tuple[Part, Traffic]]) -> Part:
        part, traffic = sending.result()
        if self._traffic is not None:
            self._traffic.requests += traffic.requests
            self._traffic.bytes_out += traffic.bytes_out
        return part
