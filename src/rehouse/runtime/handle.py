"""The handle of one tenant: every method is for this tenant's documents alone."""

from __future__ import annotations

import builtins
from collections.abc import Callable

from rehouse.core.upload_requests import UploadRequest
from rehouse.core.uploads import declare
from rehouse.ledger.faults import translate_errors
from rehouse.runtime import grants, reading, removal, signing, streams
from rehouse.runtime.counting import CountedCalls, count_call
from rehouse.runtime.files import TenantFiles
from rehouse.runtime.reading import DocumentFile
from rehouse.runtime.scope import Scope, info_of
from rehouse.runtime.values import (
    DocumentInfo,
    DocumentVersion,
    OnCommit,
    SignedRequest,
    StoredDocument,
    UploadGrant,
    Usage,
)


class TenantHandle(CountedCalls):
    """The documents of one tenant. `TenantStorage.for_tenant` returns it; a handle may be kept, and used by several threads.

    Each method reads the row first, so that it follows the document wherever a migration has it. A document of another tenant
    counts as missing. What each method raises for rows, tenants and buckets that are not as they must be: docs/storage.md, "What
    fails closed". Beyond that, DatabaseRefused and StorageRefused mean that a right or a setting is wrong, and TryAgain errors
    may be repeated.
    """

    __slots__ = ("slug",)

    def __init__(self, scope: Scope) -> None:
        row = scope.tenant().row
        super().__init__(scope, row.id)
        self.slug = row.slug

    def __repr__(self) -> str:
        return f"TenantHandle({self.slug or self.tenant_id!r})"

    @property
    def files(self) -> TenantFiles:
        """The documents by their keys, for an application that knows no more of them, such as a FileField of Django."""
        return TenantFiles(self._scope, self.tenant_id)

    @count_call
    def get(self, document_id: str) -> DocumentInfo:
        """Return a document's row. One query. Raises NoSuchDocument.

        >>> storage.for_tenant("acme").get("7f3a").size         # doctest: +SKIP
        48213
        """
        return self._scope.document(document_id)

    @count_call
    def list(self, *, after: str | None = None, limit: int = 100) -> list[DocumentInfo]:
        """Return the tenant's rows in order of their ids, at most `limit`, those after the id `after`. One query.

        >>> page = acme.list(limit=100)                         # doctest: +SKIP
        >>> page += acme.list(after=page[-1].document_id)       # doctest: +SKIP
        """
        with translate_errors(), self._scope.ledger() as ledger:
            rows = ledger.rows.list_documents(self._scope.tenant_id, after=after, limit=max(limit, 0))
        return [info_of(row) for row in rows]

    @count_call
    def usage(self) -> Usage:
        """Return what the tenant uses and has reserved, and the limits of its plan. One query.

        >>> acme.usage().bytes                                  # doctest: +SKIP
        1073741824
        """
        tenant = self._scope.tenant().row
        with self._scope.ledger() as ledger:
            found = ledger.quotas.usage(tenant)
        room, limits = found.room, found.limits
        return Usage(
            room.used_documents, room.used_bytes, room.reserved_documents, room.reserved_bytes,
            limits.most_documents, limits.most_bytes,
        )  # fmt: skip

    def open(self, document: str | DocumentInfo) -> DocumentFile:
        """Open a document for reading: a seekable binary file. One query; one GET for a whole read, ranges after a seek.

        If the object is moved or replaced before the first byte is read, the file is that of the new object. Later reads are of the
        same object, wherever it is by then, or raise PreconditionFailed. Close the file, or use it as a context manager.

        >>> with acme.open("7f3a") as file:                     # doctest: +SKIP
        ...     file.read(5)
        b'%PDF-'
        """
        return self._count_file("open", lambda on_close: reading.open_document(self._scope, document, on_close))

    @count_call
    def download_url(
        self,
        document: str | DocumentInfo,
        as_name: str | None = None,
        *,
        inline: bool = False,
        expires: int | None = None,
    ) -> str:
        """Return a presigned URL that downloads a document under its row's name, or `as_name`.

        One query, or none with a row at hand. `inline` lets a browser show the file. `expires`: seconds, by default
        `download_url_seconds`, at most 7 days. Nothing is sent to S3, so the URL of a missing object fails when it is used.

        >>> acme.download_url("7f3a", as_name="Q3.pdf", expires=60)     # doctest: +SKIP
        'https://dataroom-saas-acme-1f0c9a7e.s3.eu-central-1.amazonaws.com/documents/7f3a/...'
        """
        return reading.download_url(self._scope, document, as_name=as_name, inline=inline, expires=expires)

    @count_call
    def upload(
        self,
        document_id: str,
        name: str,
        stream: streams.Readable,
        content_type: str = "",
        *,
        size: int | None = None,
        on_commit: OnCommit | None = None,
    ) -> StoredDocument:
        """Store a binary stream as the document's object, and point its row there. One PUT up to 8 MiB, else parts.

        `size`: needed of no stream; with it, or with a stream that can be sought, a large stream goes straight to its key. With
        `on_commit`, which gets the result, the application writes the row itself, in the same transaction, on the connection that
        it gave to `for_tenant`. Raises BadUpload, QuotaExceeded, NoSuchDocument.

        >>> with open("report.pdf", "rb") as file:              # doctest: +SKIP
        ...     acme.upload("7f3a", "Q3 report.pdf", file, "application/pdf").size
        48213
        """
        declare(name, size or 0, content_type)
        incoming = streams.Incoming.begin(stream, size)
        declared = declare(name, incoming.declared_size, content_type)
        return streams.upload(self._scope, document_id, declared, incoming, on_commit)

    @count_call
    def create_upload(
        self,
        document_id: str,
        name: str,
        size: int,
        content_type: str = "",
        checksum: tuple[str, str] | None = None,
        *,
        as_form: bool = False,
    ) -> UploadGrant:
        """Grant a browser one upload of exactly this size, type and checksum, until `upload_grant_seconds` have passed.

        `checksum`: an algorithm (sha256, crc32, ...) and the value in base64. Above 8 MiB the grant is for parts. The size counts
        against the tenant's limits at once. No request is sent for a single PUT, one for an upload in parts. `as_form`: the grant
        is for an HTML form that is sent by POST, up to 5 GiB. Raises BadUpload, QuotaExceeded.

        >>> acme.create_upload("7f3a", "a.pdf", 48213, "application/pdf").headers       # doctest: +SKIP
        {'content-type': 'application/pdf', 'if-none-match': '*'}
        """
        declared = declare(name, size, content_type, checksum)
        return grants.create_upload(self._scope, document_id, declared, as_form=as_form)

    @count_call
    def confirm_upload(
        self, grant: UploadGrant | str, *, on_commit: OnCommit | None = None, sniff: bool = False
    ) -> StoredDocument:
        """Compare what arrived with what was granted, and point the row to it. To confirm again returns the same.

        Only the grant's id is used; everything else is read from the ledger. `on_commit` as in `upload`. `sniff`: the first
        bytes must not contradict the declared type (needs `rehouse[sniff]`; one request more). Raises UploadMismatch if nothing
        arrived, or something else; GrantUnknown, GrantExpired, NoSuchDocument.

        >>> acme.confirm_upload(grant_id).key                   # doctest: +SKIP
        'documents/7f3a/a.pdf'
        """
        return grants.confirm_upload(self._scope, _id_of(grant), on_commit, sniff=sniff)

    @count_call
    def resume_upload(self, grant_id: str) -> UploadGrant:
        """Return an open grant again, its requests signed anew until it expires: for a browser that has lost it.

        A grant for a form comes back as one for a PUT. One query. Raises GrantUnknown, GrantExpired.
        """
        return signing.resume_upload(self._scope, grant_id)

    @count_call
    def sign_upload(self, grant_id: str, request: UploadRequest) -> SignedRequest:
        """Sign one request of an open grant, for a client that asks for each, such as Uppy.

        Key, upload id, part and type must be the grant's. One query. Raises NotGranted, GrantUnknown, GrantExpired.
        """
        return signing.sign_upload(self._scope, grant_id, request)

    @count_call
    def abort_upload(self, grant: UploadGrant | str) -> None:
        """Give a grant up; its reservation is free at once. A confirmed one stays confirmed. Raises GrantUnknown."""
        grants.abort_upload(self._scope, _id_of(grant))

    @count_call
    def delete(self, document_id: str, *, on_delete: Callable[[], object] | None = None) -> None:
        """Take the row's pointer away and delete the object. In a versioned bucket its versions stay for `undelete`.

        With `on_delete` the application deletes or changes the row itself, in the same transaction. Inside a transaction of yours
        the object goes with the next sweep. Raises NoSuchDocument if there is no such document or it has no object.
        """
        removal.delete(self._scope, document_id, on_delete)

    @count_call
    def undelete(self, document_id: str, *, on_commit: OnCommit | None = None) -> StoredDocument:
        """Copy the newest version of a deleted document to a new key, and point its row there.

        Raises Refused if the document is not deleted, or if no version is kept.
        """
        return removal.undelete(self._scope, document_id, on_commit)

    @count_call
    def versions(self, document_id: str) -> builtins.list[DocumentVersion]:
        """Return the versions of the document's objects that the tenant's buckets keep, the newest first."""
        return removal.versions(self._scope, document_id)

    @count_call
    def copy_to(
        self,
        other: TenantHandle,
        document_id: str,
        new_document_id: str,
        *,
        name: str | None = None,
        on_commit: OnCommit | None = None,
    ) -> StoredDocument:
        """Copy a document inside S3 into a document of another tenant, or of this one. No byte passes through this machine.

        The other tenant's row must be there, as in `upload`, and its limits count. `name`: the copy's name, else the document's.

        >>> templates.copy_to(storage.for_tenant("acme"), "nda", "7f3b").bucket         # doctest: +SKIP
        'dataroom-saas-acme-1f0c9a7e'
        """
        target = removal.Target(other._scope, new_document_id, name, on_commit)
        return removal.copy_to(self._scope, document_id, target)


def _id_of(grant: UploadGrant | str) -> str:
    return grant.grant_id if isinstance(grant, UploadGrant) else grant
