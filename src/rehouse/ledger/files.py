"""Files: documents that the application knows by their key alone, as Django's FileField does (the setting `by_key`).

An upload of a file is a grant without a document. The row that the application writes later confirms it: triggers on the documents
table fill in the bucket (files.sql). An upload that no row names within a day is swept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from rehouse.core.errors import DatabaseRefused, NameTaken, NoSuchDocument
from rehouse.core.model import ObjectRef, TenantId
from rehouse.core.routing import Buckets, object_of, require_object
from rehouse.ledger.application_rows import (
    ApplicationRows,
    DocumentRow,
    StoredUpload,
    TenantRow,
    document_of,
    refusal_of,
    statement,
    transaction,
)
from rehouse.ledger.deletions import Deletion
from rehouse.ledger.schema.uploads import BUCKET_TRIGGERS
from rehouse.ledger.uploads import Grant, Uploads, grant_of


@dataclass(frozen=True, slots=True)
class _Line:
    """A document that the ledger knows, and the two places of its object."""

    document_id: str
    places: tuple[ObjectRef, ...]


class Files:
    """The files of tenants, over the rows of one connection. Raises DatabaseRefused if the triggers are missing."""

    def __init__(self, rows: ApplicationRows, uploads: Uploads) -> None:
        if not rows.catalog.documents.triggers >= BUCKET_TRIGGERS:
            table = rows.catalog.documents.name
            raise DatabaseRefused(
                f"the table {table} has no triggers that fill in the buckets of files",
                hint="set mapping.documents.by_key = true, and run `rehouse init`",
                subject=table,
            )
        self._rows, self._uploads = rows, uploads

    def find(self, tenant_id: TenantId, key: str, buckets: Buckets) -> list[DocumentRow]:
        """Return the rows of a file: those with its key, else the one that a migration or a rollback has moved from there."""
        with statement(self._rows.connection):
            found = self._rows_of_key("documents_of_key", tenant_id, key, buckets)
            return found or self._find_moved("document_moved_from_key", tenant_id, key)

    def find_returned(self, tenant_id: TenantId, key: str) -> list[DocumentRow]:
        """Return the row that a rollback has pointed back to its old object. This reads the tenant's lines of the ledger."""
        with statement(self._rows.connection):
            return self._find_moved("document_returned_from_key", tenant_id, key)

    def find_upload(self, tenant_id: TenantId, key: str) -> Grant | None:
        """Return the upload of a file that is stored under a key, whose row may not be written yet."""
        with statement(self._rows.connection):
            row = self._rows.row("upload_of_key", {"tenant_id": tenant_id, "key": key})
        return None if row is None else grant_of(row)

    def is_taken(self, tenant_id: TenantId, key: str, buckets: Buckets) -> bool:
        """Return whether a file of the tenant has the key or had it, as far as PostgreSQL knows."""
        with statement(self._rows.connection):
            return self._is_taken(tenant_id, key, buckets, None)

    def choose_key(self, grant: Grant, bucket: str, key: str, buckets: Buckets) -> Grant:
        """Record the key of an upload before its object is written. Raises NameTaken."""
        values = {"tenant_id": grant.tenant_id, "grant_id": grant.grant_id, "bucket": bucket, "key": key}
        with transaction(self._rows.connection):
            if self._is_taken(grant.tenant_id, key, buckets, grant.grant_id):
                raise name_taken(key)
            if grant.final is not None:  # the home has changed since: what was copied to the former place is not needed
                self._uploads.deletions.add(grant.tenant_id, "", grant.final, None)
            try:
                with self._rows.connection.transaction():
                    row = self._rows.row("begin_confirm", values)
            except psycopg.errors.UniqueViolation:
                raise name_taken(key) from None
        return grant_of(row) if row else self._uploads.refuse(grant)

    def record(self, grant: Grant, stored: StoredUpload) -> Grant | None:
        """Record that the object is there, so that a row may point to it.

        None if new uploads of the tenant go to another bucket by now. Raises GrantExpired.
        """
        values = {"tenant_id": grant.tenant_id, "grant_id": grant.grant_id, "size": stored.size, "etag": stored.etag}
        with transaction(self._rows.connection):
            if self._uploads.destination(grant.tenant_id) != stored.ref.bucket:
                return None
            row = self._rows.row("record_file", {**values, "version": stored.version, "checksum": stored.checksum})
        return grant_of(row) if row else self._uploads.refuse(grant)

    def detach(self, tenant: TenantRow, key: str, buckets: Buckets) -> list[Deletion] | None:
        """Take a file away from its rows and record that its object is to be deleted, in one transaction.

        None if nothing is known of the key. Raises ForeignPointer, or DatabaseRefused if a column must not be empty.
        """
        with transaction(self._rows.connection):
            found = self._rows_of_key("lock_documents_of_key", tenant.id, key, buckets) or self._lock_moved(
                tenant.id, key
            )
            if found:
                refs = {self._clear(tenant, row, buckets): row for row in found}
                return [self._delete(tenant.id, row.document_id, ref, row.etag) for ref, row in refs.items()]
            upload = self.find_upload(tenant.id, key)
            if upload is not None and upload.final is not None:
                return [self._delete(tenant.id, "", upload.final, None)]
            line = self._line(tenant.id, key)
            if line is None:
                return None
            own = [ref for ref in line.places if ref.key == key and object_of(ref.bucket, ref.key, buckets)]
            return [self._delete(tenant.id, line.document_id, ref, None) for ref in own]

    def entries(self, tenant_id: TenantId, prefix: str) -> list[str]:
        """Return the names below a prefix, those of folders with a slash at the end. This reads all rows of the tenant."""
        with statement(self._rows.connection):
            found = self._rows.rows("entries_of_files", {"tenant_id": tenant_id, "prefix": prefix})
        return [str(row.entry) for row in found]

    def _rows_of_key(self, query: str, tenant_id: TenantId, key: str, buckets: Buckets) -> list[DocumentRow]:
        values = {"tenant_id": tenant_id, "key": key, "buckets": _names_of(buckets)}
        return [document_of(row) for row in self._rows.rows(query, values)]

    def _find_moved(self, query: str, tenant_id: TenantId, key: str) -> list[DocumentRow]:
        return [document_of(row) for row in self._rows.rows(query, {"tenant_id": tenant_id, "key": key})]

    def _lock_moved(self, tenant_id: TenantId, key: str) -> list[DocumentRow]:
        """Lock the row that was moved from a key. A migration does not move it again: it is where the ledger says."""
        found = self._find_moved("document_moved_from_key", tenant_id, key)
        if not found and self._has_no_upload(tenant_id, key):
            found = self._find_moved("document_returned_from_key", tenant_id, key)
        rows = [self._rows.lock_document(tenant_id, row.document_id) for row in found]
        same = [(row.bucket, row.key) for row in found]
        return [row for row in rows if row is not None and (row.bucket, row.key) in same]

    def _has_no_upload(self, tenant_id: TenantId, key: str) -> bool:
        return self._rows.row("upload_of_key", {"tenant_id": tenant_id, "key": key}) is None

    def _is_taken(self, tenant_id: TenantId, key: str, buckets: Buckets, grant_id: str | None) -> bool:
        values = {"tenant_id": tenant_id, "key": key, "buckets": _names_of(buckets), "grant_id": grant_id}
        row = self._rows.row("key_is_taken", values)
        return row is None or bool(row.is_taken)

    def _clear(self, tenant: TenantRow, row: DocumentRow, buckets: Buckets) -> ObjectRef:
        ref = require_object(
            row.bucket,
            row.key,
            buckets,
            document_id=row.document_id,
            tenant=tenant.slug or str(tenant.id),
            key_fault=row.key_fault,
        )
        values = {"tenant_id": tenant.id, "document_id": row.document_id, "bucket": row.bucket, "key": row.key}
        try:
            cleared = self._rows.row("clear_file", values)
        except psycopg.errors.NotNullViolation as error:
            raise DatabaseRefused(
                f"{error.diag.table_name}.{error.diag.column_name} must not be NULL, so the row cannot be without a file",
                hint="allow NULL there, or delete the row first",
                subject=row.document_id,
            ) from error
        if cleared is None or cleared.key:
            raise refusal_of(row.document_id, "take the row's file away")
        return ref

    def _delete(self, tenant_id: TenantId, document_id: str, ref: ObjectRef, etag: str | None) -> Deletion:
        self._rows.run("abort_file", {"tenant_id": tenant_id, "bucket": ref.bucket, "key": ref.key})
        return self._uploads.deletions.add(tenant_id, document_id, ref, etag)

    def _line(self, tenant_id: TenantId, key: str) -> _Line | None:
        row = self._rows.row("line_of_key", {"tenant_id": tenant_id, "key": key})
        if row is None:
            return None
        places = ((row.source_bucket, row.source_key), (row.target_bucket, row.target_key))
        return _Line(str(row.document_id), tuple(ObjectRef(bucket, key) for bucket, key in places if bucket and key))


def name_taken(key: str) -> NameTaken:
    """Return the error for a key that another file has."""
    return NameTaken(f"another file has the key {key!r}", hint="save it under another name", subject=key)


def no_such_file(key: str, tenant: str) -> NoSuchDocument:
    """Return the error for a key that no file of the tenant has."""
    return NoSuchDocument(
        f"the tenant {tenant} has no file {key!r}",
        hint="another tenant may have it, or no row names it any more",
        subject=key,
    )


def _names_of(buckets: Buckets) -> Sequence[str]:
    return [*([buckets.home] if buckets.home else []), *sorted(buckets.former), *buckets.shared]
