"""The documents of one tenant by their keys, for an application that keeps no more of them than a name, as Django's FileField does.

`save` comes before the row. It stores an object under a key that nothing has, and records it. The row that the application writes
with this key gets its bucket from a trigger, in the same statement. What no row names within a day is swept. Every other method
reads the row first, also when a migration has moved it away from the key that the application still holds.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from functools import partial

from rehouse.core.errors import ForeignPointer, NoSuchObject, PreconditionFailed, Refused, TryAgain
from rehouse.core.file_keys import file_key, is_of_another_tenant, is_own_key
from rehouse.core.model import ObjectRef
from rehouse.core.naming import key_problem
from rehouse.core.routing import object_of
from rehouse.core.uploads import MOST_GRANT_SECONDS, declare, part_bytes
from rehouse.ledger.application_rows import StoredUpload
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.files import name_taken, no_such_file
from rehouse.ledger.uploads import Grant
from rehouse.runtime import reading
from rehouse.runtime.counting import CountedCalls, count_call
from rehouse.runtime.reading import DocumentFile
from rehouse.runtime.scope import KnownTenant, info_of
from rehouse.runtime.streams import SINGLE_BYTES, Incoming, Readable, put_whole, send_parts
from rehouse.runtime.uploads import MOST_MOVES, copy_object, delete_now, document_of, give_up, open_grant
from rehouse.runtime.values import DocumentInfo, FileState, StoredDocument
from rehouse.s3.faults import NO_SUCH_KEY
from rehouse.s3.objects.answers import StoredObject


class TenantFiles(CountedCalls):
    """The files of one tenant; `TenantHandle.files` returns it. A key of another tenant counts as missing.

    It needs the triggers of the setting `mapping.documents.by_key`.
    """

    __slots__ = ()
    KINDS = "files."

    @count_call
    def get(self, key: str) -> DocumentInfo:
        """Return the row of a file, or of its upload if the row is not written yet. Raises NoSuchDocument."""
        return self._find(key)

    @count_call
    def is_taken(self, name: str) -> bool:
        """Return whether a new file cannot be saved under this name. One statement. Raises BadUpload."""
        known = self._scope.tenant()
        key = self._key_of(name, known, is_shared=known.buckets.home is None)
        with translate_errors(), self._scope.ledger() as ledger:
            return ledger.files.is_taken(known.row.id, key, known.buckets)

    def key_of(self, name: str) -> str:
        """Return the key that a new file of this name gets now. Raises BadUpload."""
        known = self._scope.tenant()
        return self._key_of(name, known, is_shared=known.buckets.home is None)

    @count_call
    def save(self, name: str, stream: Readable, content_type: str = "", *, size: int | None = None) -> StoredDocument:
        """Store a binary stream as a new file, and return it; write its `key` in the row within a day.

        Nothing is overwritten: raises NameTaken if another file has the name. Raises BadUpload, QuotaExceeded.

        >>> acme.files.save("invoices/2026/a.pdf", stream, "application/pdf").key       # doctest: +SKIP
        'invoices/2026/a.pdf'
        """
        short = name.rpartition("/")[2]
        self.key_of(name)
        declare(short, size or 0, content_type)
        incoming = Incoming.begin(stream, size)
        declared = declare(short, incoming.declared_size, content_type)
        is_small = incoming.size is not None and len(incoming.first) <= SINGLE_BYTES
        each = None if is_small else part_bytes(declared.size, SINGLE_BYTES)
        grant = open_grant(self._scope, None, declared, seconds=MOST_GRANT_SECONDS, part_bytes=each)
        try:
            return self._save(grant, name, incoming)
        except BaseException:
            give_up(self._scope, grant)
            raise

    def open(self, key: str) -> DocumentFile:
        """Open a file for reading, as `TenantHandle.open` does. Raises NoSuchDocument, ForeignPointer."""
        find = partial(self._find, key)
        return self._count_file("open", lambda on_close: DocumentFile(self._scope, find(), on_close, find))

    @count_call
    def download_url(
        self, key: str, as_name: str | None = None, *, inline: bool = False, expires: int | None = None
    ) -> str:
        """Return a presigned URL of a file, as `TenantHandle.download_url` does. Raises NoSuchDocument, ForeignPointer."""
        return reading.download_url(self._scope, self._find(key), as_name=as_name, inline=inline, expires=expires)

    @count_call
    def head(self, key: str) -> FileState:
        """Return what S3 knows of a file. Raises NoSuchDocument, ForeignPointer, and NoSuchObject if its object is missing."""
        before = None
        for _ in range(reading.ATTEMPTS):
            place = self._scope.place_of(self._find(key))
            if place == before:
                break  # the row still points there
            found = self._scope.objects.head(place)
            if found is not None:
                return FileState(place.key, found.size, found.content_type, found.etag, found.modified_at)
            before = place
        raise NoSuchObject(f"s3://{place.bucket}/{place.key}", NO_SUCH_KEY)

    @count_call
    def delete(self, key: str) -> None:
        """Empty the key of the file's rows, if there are any, then delete the object. A missing file is no error.

        Inside a transaction of yours the object goes with the next sweep. Raises ForeignPointer if nothing shows that the key is
        the tenant's.
        """
        scope = self._scope
        known = scope.tenant(anew=True)
        self._require_layout(known, key)
        with translate_errors(), scope.ledger() as ledger:
            deletions = ledger.files.detach(known.row, key, known.buckets) if _is_possible(key) else []
        if deletions is None:
            place = self._unrecorded_place(known, key)
            if scope.objects.head(place) is None:
                return
            with translate_errors(), scope.ledger() as ledger:
                deletions = [ledger.deletions.record(known.row.id, "", place, None)]
        if scope.connections.is_within:
            return  # it may still be rolled back: the sweep deletes the object
        for deletion in deletions:
            with scope.ledger() as ledger:
                may_delete = ledger.deletions.may_delete(deletion.tenant_id, deletion.document_id, deletion.ref)
            if may_delete:
                delete_now(scope, deletion)

    @count_call
    def list(self, folder: str = "") -> tuple[builtins.list[str], builtins.list[str]]:
        """Return the names of the folders and of the files in a folder. This reads all rows of the tenant."""
        prefix = folder.strip("/") + "/" if folder.strip("/") else ""
        with translate_errors(), self._scope.ledger() as ledger:
            entries = ledger.files.entries(self._scope.tenant_id, prefix) if _is_possible(prefix or "-") else []
        folders = [entry.removesuffix("/") for entry in entries if entry.endswith("/")]
        return folders, [entry for entry in entries if not entry.endswith("/")]

    def _save(self, grant: Grant, name: str, incoming: Incoming) -> StoredDocument:
        grant, stored = self._write(grant, name, incoming)
        for _ in range(MOST_MOVES):
            assert grant.final is not None
            made = document_of(grant, stored)
            upload = StoredUpload(grant.final, stored.size, stored.etag, made.version, made.checksum)
            with self._scope.ledger(durably=True) as ledger:
                recorded = ledger.files.record(grant, upload)
            if recorded is not None:
                return made
            source = grant.final
            grant = self._choose_key(grant, name)
            assert grant.final is not None
            stored = self._only_new(partial(copy_object, self._scope, source, stored), grant.final)
        raise TryAgain(
            f"the tenant was moved {MOST_MOVES} times while {name!r} was stored", hint="save it again", subject=name
        )

    def _write(self, grant: Grant, name: str, incoming: Incoming) -> tuple[Grant, StoredObject]:
        """Write the stream to a new key. A stream of unknown size goes to `temp/` first, so that its size counts before."""
        scope = self._scope
        if incoming.size is None:
            staged = send_parts(scope, grant, grant.staged, incoming)
            with scope.ledger(durably=True) as ledger:
                tenant = scope.storage.learn(scope.named, ledger.rows).row
                grant = ledger.uploads.resize(tenant, grant, staged.size)
            grant = self._choose_key(grant, name)
            assert grant.final is not None
            stored = self._only_new(partial(copy_object, scope, grant.staged, staged), grant.final)
            scope.objects.delete(grant.staged)
            return grant, stored
        grant = self._choose_key(grant, name)
        assert grant.final is not None
        if len(incoming.first) <= SINGLE_BYTES:
            put = partial(put_whole, scope, incoming.first, grant.declared.content_type)
            return grant, self._only_new(put, grant.final)
        if scope.objects.head(grant.final) is not None:
            raise name_taken(grant.final.key)
        return grant, self._only_new(lambda ref: send_parts(scope, grant, ref, incoming), grant.final)

    @staticmethod
    def _only_new(write: Callable[[ObjectRef], StoredObject], ref: ObjectRef) -> StoredObject:
        try:
            return write(ref)
        except PreconditionFailed:
            raise name_taken(ref.key) from None

    def _choose_key(self, grant: Grant, name: str) -> Grant:
        """Record the key of an upload, in the bucket where new uploads of the tenant go now."""
        scope = self._scope
        with translate_errors(), scope.ledger(durably=True) as ledger:
            known = scope.storage.learn(scope.named, ledger.rows)
            bucket = ledger.uploads.destination(known.row.id)
            key = self._key_of(name, known, is_shared=bucket in known.buckets.shared)
            return ledger.files.choose_key(grant, bucket, key, known.buckets)

    def _key_of(self, name: str, known: KnownTenant, *, is_shared: bool) -> str:
        return file_key(known.row.id, name, is_shared=is_shared, max_characters=self._scope.storage.longest_key)

    def _find(self, key: str) -> DocumentInfo:
        """Return the row of a file, or its upload. What is remembered of the tenant's buckets may be too old: it is asked twice."""
        known = self._scope.tenant()
        self._require_layout(known, key)
        found = self._look(key, known) if _is_possible(key) else []
        if not found and _is_possible(key):
            before, known = known, self._scope.tenant(anew=True)
            found = self._look(key, known) if known.buckets != before.buckets else []
        if not found:
            raise no_such_file(key, known.label)
        if len({(info.bucket or known.buckets.default, info.key) for info in found}) > 1:
            raise Refused(
                f"{len(found)} rows of the tenant {known.label} have the key {key!r}, in different buckets",
                hint="open the document by its id",
                subject=key,
            )
        return found[0]

    def _look(self, key: str, known: KnownTenant) -> builtins.list[DocumentInfo]:
        tenant_id = known.row.id
        with translate_errors(), self._scope.ledger() as ledger:
            rows = ledger.files.find(tenant_id, key, known.buckets)
            upload = None if rows else ledger.files.find_upload(tenant_id, key)
            if upload is None and not rows:
                rows = ledger.files.find_returned(tenant_id, key)
        if upload is not None and upload.final is not None:
            name, place = upload.declared.name, upload.final
            return [DocumentInfo("", tenant_id, name, place.bucket, place.key, upload.declared.size, None)]
        return [info_of(row) for row in rows]

    @staticmethod
    def _require_layout(known: KnownTenant, key: str) -> None:
        """Refuse a key in another tenant's folder, whatever a row says."""
        if is_of_another_tenant(known.row.id, key):
            raise ForeignPointer(
                f"the key {key!r} lies in the folder of another tenant than {known.label}",
                hint="correct the row's key",
                subject=key,
            )

    def _unrecorded_place(self, known: KnownTenant, key: str) -> ObjectRef:
        """Return where an object without any record may be. Raises ForeignPointer unless only this tenant can have it."""
        home = known.buckets.home
        place = ObjectRef(home or next(iter(known.buckets.shared), ""), key)
        longest = self._scope.storage.longest_key
        is_own = is_own_key(known.row.id, key, is_shared=home is None, max_characters=longest)
        if not is_own or object_of(place.bucket, key, known.buckets) is None:
            raise ForeignPointer(
                f"nothing shows that the key {key!r} is a file of the tenant {known.label}",
                hint="delete the file before its row",
                subject=key,
            )
        return place


def _is_possible(key: str) -> bool:
    """Return whether S3 and PostgreSQL can have the key."""
    return key_problem(key) is None
