"""The grants of uploads and the objects that are to be deleted, in `s3_upload_grants` and `s3_pending_deletions`.

A grant is `open` until its confirmation begins, then `confirming`, then `confirmed`, or `aborted` before that. Open and confirming
grants count against the limits of their tenant, and nothing but a change of the state ends that. An aborted grant stays until its
objects are swept. Everything runs on the application's connection (application_rows.py). No S3 request is made here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import psycopg

from rehouse.core.errors import BadUpload, GrantExpired, GrantUnknown, InactiveTenant, Refused
from rehouse.core.model import ObjectRef, TenantId
from rehouse.core.routing import Buckets, object_of
from rehouse.core.uploads import Checksum, ChecksumAlgorithm, Declared, GrantState, candidate_keys, staged_key
from rehouse.ledger.application_rows import (
    ApplicationRows,
    StoredUpload,
    TenantRow,
    call,
    no_such_document,
    no_such_tenant,
    statement,
    transaction,
    unchanged_row,
)
from rehouse.ledger.deletions import Deletion, Deletions
from rehouse.ledger.encoding import holder
from rehouse.ledger.quotas import Quotas
from rehouse.ledger.rows import Row, plain_id

_RACES = 5
"""How often another key is chosen when another confirmation takes the chosen one at the same moment."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant: what was declared, where the upload goes, its state, and where its copy goes or is.

    `stored` is set once it is confirmed. `document_id` is empty for the upload of a file, which is of no document yet.
    """

    grant_id: str
    tenant_id: TenantId
    document_id: str
    staged: ObjectRef
    upload_id: str | None
    declared: Declared
    part_bytes: int | None
    state: GrantState
    final: ObjectRef | None
    stored: StoredUpload | None
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Settled:
    """A confirmed grant, and what is no longer needed since; nothing if it had been confirmed before."""

    grant: Grant
    deletions: tuple[Deletion, ...] = ()


class Uploads:
    """The grants and deletions, over the rows of one connection.

    `shared`: every shared bucket of the settings, also those that were removed: none of them is a tenant's home. `upload_bucket`:
    the first that was not removed.
    """

    def __init__(self, rows: ApplicationRows, *, shared: Collection[str], upload_bucket: str | None) -> None:
        self._rows = rows
        self._connection = rows.connection
        self._shared = [*shared]
        self._places = {"shared": self._shared, "upload_bucket": upload_bucket}
        self.quotas = Quotas(rows)
        self.deletions = Deletions(rows, first_shared=next(iter(shared), None))

    def open_grant(
        self,
        tenant: TenantRow,
        document_id: str | None,
        declared: Declared,
        *,
        seconds: int,
        part_bytes: int | None = None,
        grant_id: str | None = None,
    ) -> Grant:
        """Record a grant if the tenant's limits have room for it; it expires after `seconds`, by the database's clock.

        Without `document_id` it is a file's (files.py). Raises QuotaExceeded, InactiveTenant, UnknownTenant, or Refused where new
        uploads have no bucket.
        """
        if not holder(self._connection)(declared.name):
            raise BadUpload(
                f"the database's encoding cannot hold the file name {declared.name!a}", hint="rename the file"
            )
        made = grant_id or str(uuid4())
        document = None if document_id is None else self._rows.document_id(document_id)
        values = {
            **self._places,
            "grant_id": made,
            "tenant_id": tenant.id,
            "document_id": document,
            "temp_key": staged_key(made, declared.name),
            "name": declared.name,
            "size": declared.size,
            "content_type": declared.content_type,
            "checksum_algorithm": declared.checksum and str(declared.checksum.algorithm),
            "checksum": declared.checksum and declared.checksum.value,
            "part_bytes": part_bytes,
            "seconds": seconds,
        }
        with transaction(self._connection):
            self.quotas.require_room(tenant, document, declared.size, made)
            row = self._rows.row("open_grant", values)
        return grant_of(row) if row else self._refuse_destination(tenant.id)

    def resize(self, tenant: TenantRow, grant: Grant, size: int) -> Grant:
        """Let an open grant be of another size, for a stream whose length is known only at its end.

        Raises QuotaExceeded, GrantExpired or GrantUnknown.
        """
        with transaction(self._connection):
            self.quotas.require_room(tenant, grant.document_id or None, size, grant.grant_id)
            row = self._rows.row("resize_grant", {**_names(grant), "size": size})
        return grant_of(row) if row else self.refuse(self.read_grant(grant.tenant_id, grant.grant_id))

    def record_upload_id(self, grant: Grant, upload_id: str) -> Grant:
        """Record the id of a grant's multipart upload. Raises GrantExpired or GrantUnknown if it is not open."""
        with transaction(self._connection):
            row = self._rows.row("record_upload_id", {**_names(grant), "upload_id": upload_id})
        return grant_of(row) if row else self.refuse(self.read_grant(grant.tenant_id, grant.grant_id))

    def read_grant(self, tenant_id: TenantId, grant_id: object) -> Grant:
        """Return a grant of the tenant. Raises GrantUnknown, also if another tenant has it."""
        with statement(self._connection):
            return grant_of(self._grant_row("grant", tenant_id, grant_id))

    def read_live(self, tenant_id: TenantId, grant_id: object) -> tuple[Grant, int]:
        """Return an open grant of the tenant, and for how many seconds. Raises GrantUnknown, GrantExpired."""
        with statement(self._connection):
            row = self._grant_row("live_grant", tenant_id, grant_id)
        grant, seconds = grant_of(row), int(row.seconds)
        return (grant if grant.state is GrantState.OPEN and seconds > 0 else self.refuse(grant)), seconds

    def begin_confirm(self, tenant_id: TenantId, grant_id: object, *, is_taken: bool = False) -> Grant:
        """Return the grant as `confirming`, with the key to which its upload is to be copied; or as `confirmed`.

        The bucket is the one to which new uploads of the tenant go now. Call it again if that changes. If S3 has another object at
        the key, call it again with `is_taken`, which chooses another key. Raises GrantExpired, GrantUnknown, InactiveTenant.
        """
        for _ in range(_RACES):
            try:
                with transaction(self._connection):
                    return self._begin_confirm(tenant_id, grant_id, is_taken=is_taken)
            except _KeyTaken:
                continue
        raise Refused(f"no key is free for the upload {grant_id}", hint="confirm it again", subject=str(grant_id))

    def settle(
        self,
        tenant_id: TenantId,
        grant_id: object,
        stored: StoredUpload,
        buckets: Buckets,
        on_commit: Callable[[], object] | None = None,
        *,
        was_staged: bool = True,
    ) -> Settled | None:
        """Point the document to the upload's copy and confirm the grant, in one transaction.

        `buckets`: those of the tenant; a former object elsewhere is not deleted. `was_staged`: there is an object at the staged
        key, to be deleted. With `on_commit`, the application writes the row in that transaction instead. Returns None if the copy
        belongs elsewhere since it was made: begin the confirmation again. Raises NoSuchDocument, GrantExpired or GrantUnknown.
        """
        try:
            with transaction(self._connection):
                row = self._grant_row("lock_grant", tenant_id, grant_id)
                grant = grant_of(row)
                if row.state == GrantState.CONFIRMED:
                    return Settled(grant)
                if row.state != GrantState.CONFIRMING:
                    self.refuse(grant)
                self._require_place(grant, stored.ref)
                settled = self._settle(grant, stored, buckets, on_commit)
                if not was_staged:
                    return settled
                staged = self.deletions.add(grant.tenant_id, grant.document_id, grant.staged, None)
                return Settled(settled.grant, (staged, *settled.deletions))
        except _MovedAway:
            return None

    def abort(self, tenant_id: TenantId, grant_id: object) -> Grant:
        """Give a grant up and return it; a confirmed one stays confirmed. Raises GrantUnknown."""
        with transaction(self._connection):
            names = {"tenant_id": tenant_id, "grant_id": _uuid(grant_id)}
            return grant_of(self._rows.row("abort_grant", names) or self._grant_row("grant", tenant_id, grant_id))

    def grants_to_sweep(
        self, *, seconds: int = 3600, confirming_seconds: int = 86_400, limit: int = 1000
    ) -> list[Grant]:
        """Abort what was abandoned, and return the aborted grants of all tenants whose objects can be deleted.

        `seconds`: how long after its expiry a request of a grant may still be under way. `confirming_seconds`: how long a
        confirmation may take. Delete the objects of each (its staged one, its multipart upload, its copy if `may_delete`), then
        `forget_grant`.
        """
        with transaction(self._connection):
            self._rows.run("abort_abandoned", {"confirming_seconds": confirming_seconds})
            found = self._rows.rows("grants_to_sweep", {"seconds": seconds, "limit": limit})
        return [grant_of(row) for row in found]

    def forget_grant(self, grant: Grant) -> None:
        """Delete an aborted grant."""
        with transaction(self._connection):
            self._rows.run("forget_grant", _names(grant))

    def forget_confirmed(self, *, days: int = 7) -> None:
        """Delete the grants that were confirmed longer ago: confirming them again is no longer possible."""
        with transaction(self._connection):
            self._rows.run("forget_confirmed", {"days": days})

    def _begin_confirm(self, tenant_id: TenantId, grant_id: object, *, is_taken: bool) -> Grant:
        row = self._grant_row("lock_grant", tenant_id, grant_id)
        grant = grant_of(row)
        if grant.state is GrantState.CONFIRMED:
            return grant
        if grant.state is GrantState.ABORTED or (grant.state is GrantState.OPEN and row.is_expired):
            self.refuse(grant)
        bucket = self.destination(tenant_id)
        if grant.final and grant.final.bucket == bucket and not is_taken:
            return grant
        if grant.final and not is_taken:
            # The home has changed since: what was copied to the former place is not needed.
            self.deletions.add(tenant_id, grant.document_id, grant.final, None)
        key = self._free_key(grant, bucket, without=grant.final.key if grant.final and is_taken else None)
        values = {**_names(grant), "bucket": bucket, "key": key}
        try:
            with self._connection.transaction():
                return grant_of(self._rows.row("begin_confirm", values))
        except psycopg.errors.UniqueViolation as error:
            raise _KeyTaken from error

    def _free_key(self, grant: Grant, bucket: str, *, without: str | None) -> str:
        keys = candidate_keys(
            grant.tenant_id,
            grant.document_id,
            grant.declared.name,
            grant_id=grant.grant_id,
            is_shared=bucket in self._shared,
            max_characters=self._rows.catalog.key_max_length,
        )
        values = {
            **_names(grant),
            "document_id": grant.document_id,
            "bucket": bucket,
            "keys": [key for key in keys if key != without],
        }
        row = self._rows.row("free_key", values)
        if row is None:
            raise Refused(
                f"no key is free for the upload {grant.grant_id}", hint="upload it again", subject=grant.grant_id
            )
        return str(row.key)

    def destination(self, tenant_id: TenantId) -> str:
        """Return the bucket of the tenant's new uploads now. Raises InactiveTenant, UnknownTenant, Refused."""
        row = self._rows.row("destination_now", {**self._places, "tenant_id": tenant_id})
        if row is None:
            raise no_such_tenant(tenant_id)
        if not row.is_active:
            raise _inactive(tenant_id)
        if row.bucket is None:
            raise _without_bucket(tenant_id)
        return str(row.bucket)

    def _require_place(self, grant: Grant, ref: ObjectRef) -> None:
        final = grant.final
        is_recorded = final is not None and (final.bucket, final.key) == (ref.bucket, ref.key)
        if not is_recorded or self.destination(grant.tenant_id) != ref.bucket:
            raise _MovedAway

    def _settle(
        self, grant: Grant, stored: StoredUpload, buckets: Buckets, on_commit: Callable[[], object] | None
    ) -> Settled:
        before = self._rows.lock_document(grant.tenant_id, grant.document_id)
        if on_commit is not None:
            call(on_commit)
            after = self._rows.read_document(grant.tenant_id, grant.document_id)
            if after is None or (after.bucket, after.key) != (stored.ref.bucket, stored.ref.key):
                raise unchanged_row(grant.document_id, "it does not point to the upload")
        elif before is None:
            raise no_such_document(grant.document_id, grant.tenant_id)
        else:
            self._rows.point_document(grant.tenant_id, grant.document_id, stored)
        values = {**_names(grant), "size": stored.size, "etag": stored.etag, "version": stored.version}
        row = self._rows.row("settle_grant", {**values, "checksum": stored.checksum})
        former = before and not before.key_fault and object_of(before.bucket, before.key, buckets)
        if not before or not former or (former.bucket, former.key) == (stored.ref.bucket, stored.ref.key):
            return Settled(grant_of(row))
        return Settled(grant_of(row), (self.deletions.add(grant.tenant_id, grant.document_id, former, before.etag),))

    def _grant_row(self, name: str, tenant_id: TenantId, grant_id: object) -> Row:
        row = self._rows.row(name, {"tenant_id": tenant_id, "grant_id": _uuid(grant_id)})
        if row is None:
            raise _unknown(grant_id)
        return row

    def refuse(self, grant: Grant) -> Grant:
        """Raise the error for a grant that is not in the state that is needed."""
        told = {GrantState.CONFIRMED: "was confirmed already", GrantState.CONFIRMING: "is being confirmed"}
        what = told.get(grant.state, "expired or was aborted")
        raise GrantExpired(
            f"the upload {grant.grant_id} of the document {grant.document_id!r} {what} (it was granted until "
            f"{grant.expires_at:%Y-%m-%d %H:%M:%S %Z})",
            hint="ask for a new upload; REHOUSE_UPLOAD_GRANT_SECONDS sets how long one may take",
            subject=grant.grant_id,
        )

    def _refuse_destination(self, tenant_id: TenantId) -> Grant:
        """Raise the error for a tenant for which no grant could be recorded."""
        with transaction(self._connection):
            self.destination(tenant_id)
        raise no_such_tenant(tenant_id)


class _MovedAway(Exception):
    """The copy belongs elsewhere by now. Raised, so that the lock of the grant ends, also within the application's transaction."""


class _KeyTaken(Exception):
    """Another confirmation has taken the chosen key at the same moment."""


def _names(grant: Grant) -> Mapping[str, object]:
    return {"tenant_id": grant.tenant_id, "grant_id": grant.grant_id}


def _uuid(grant_id: object) -> str:
    try:
        return str(grant_id if isinstance(grant_id, UUID) else UUID(str(grant_id)))
    except ValueError:
        raise _unknown(grant_id) from None


def _unknown(grant_id: object) -> GrantUnknown:
    shown = ascii(str(grant_id)[:80])
    return GrantUnknown(
        f"the tenant has no upload {shown}",
        hint="ask for a new upload; confirmed ones are kept for a week",
        subject=shown,
    )


def _inactive(tenant_id: TenantId) -> InactiveTenant:
    return InactiveTenant(
        f"the tenant with the id {tenant_id} is not active", hint="activate it in its row first", subject=str(tenant_id)
    )


def _without_bucket(tenant_id: TenantId) -> Refused:
    return Refused(
        f"the tenant with the id {tenant_id} has no bucket, and no shared bucket is left",
        hint="migrate it (`rehouse migrate`), or name a shared bucket in REHOUSE_SHARED_BUCKET",
        subject=str(tenant_id),
    )


def grant_of(row: Row) -> Grant:
    """Return the grant of a row."""
    final = ObjectRef(row.final_bucket, row.final_key) if row.final_key else None
    checksum = Checksum(ChecksumAlgorithm(row.checksum_algorithm), row.checksum) if row.checksum_algorithm else None
    stored = None
    if row.state == GrantState.CONFIRMED and final:
        stored = StoredUpload(final, int(row.size), row.etag, row.version, row.result_checksum)
    return Grant(
        grant_id=str(row.grant_id),
        tenant_id=plain_id(row.tenant_id),
        document_id="" if row.document_id is None else str(row.document_id),
        staged=ObjectRef(row.bucket, row.temp_key),
        upload_id=row.upload_id,
        declared=Declared(row.name, int(row.size), row.content_type, checksum),
        part_bytes=row.part_bytes,
        state=GrantState(row.state),
        final=final,
        stored=stored,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
