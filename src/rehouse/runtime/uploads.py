"""How an object becomes a document's: it is recorded, then stored, then the row is pointed to it.

The grant is recorded before the first request to S3, so that whatever a crash leaves is known to a sweep. A stream of the
application goes straight to its final key, which the grant names by then. An upload of a browser goes to `temp/`, and is compared
with what was declared before it is copied to its final key.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from rehouse.core.errors import BadUsage, PreconditionFailed, RehouseError, TryAgain
from rehouse.core.model import ObjectRef
from rehouse.core.uploads import Declared
from rehouse.ledger.application_rows import StoredUpload
from rehouse.ledger.deletions import Deletion
from rehouse.ledger.uploads import Grant
from rehouse.runtime.carry import carry_object
from rehouse.runtime.scope import Scope
from rehouse.runtime.values import OnCommit, StoredDocument
from rehouse.s3.objects.answers import StoredObject

log = logging.getLogger(__name__)

MOST_MOVES = 5
"""How often an upload follows a tenant whose home changes while it is committed."""
CHECKSUMS = ("crc64nvme", "sha256", "crc32c", "crc32", "sha1")
"""The checksums of S3's that are kept, the preferred one first."""


def open_grant(
    scope: Scope, document_id: str | None, declared: Declared, *, seconds: int, part_bytes: int | None = None
) -> Grant:
    """Record an upload, so that it is known whatever happens. Raises QuotaExceeded and what `Uploads.open_grant` raises."""
    with scope.ledger(durably=True) as ledger:
        tenant = scope.storage.learn(scope.named, ledger.rows).row
        return ledger.uploads.open_grant(tenant, document_id, declared, seconds=seconds, part_bytes=part_bytes)


def choose_key(scope: Scope, grant: Grant, *, is_taken: bool = False) -> Grant:
    """Record the final key of an upload, in the bucket where new uploads of the tenant go now."""
    with scope.ledger(durably=True) as ledger:
        return ledger.uploads.begin_confirm(grant.tenant_id, grant.grant_id, is_taken=is_taken)


def require_row(scope: Scope, document_id: str, on_commit: OnCommit | None) -> None:
    """Refuse an upload that could not be committed: without a row, or with a hook that has no connection to work on."""
    if on_commit is not None and scope.connections.own is None:
        raise BadUsage(
            f"on_commit was given for the document {document_id!r}, and no connection to run it on",
            hint="pass your connection: storage.for_tenant(tenant, connection)",
            subject=document_id,
        )
    if on_commit is None:
        scope.document(document_id)


def store(scope: Scope, grant: Grant, write: Callable[[ObjectRef], StoredObject]) -> tuple[Grant, StoredObject]:
    """Write an object to a final key that nothing has. Return the grant with that key, and the object."""
    grant = choose_key(scope, grant)
    while True:
        assert grant.final is not None
        try:
            return grant, write(grant.final)
        except PreconditionFailed:
            grant = choose_key(scope, grant, is_taken=True)


def commit(
    scope: Scope, grant: Grant, stored: StoredObject, on_commit: OnCommit | None, *, was_staged: bool = False
) -> StoredDocument:
    """Point the row to a stored object and confirm its grant, in one transaction.

    If the tenant's home has changed meanwhile, the object is copied to the new one first. `was_staged`: it is a copy of an object
    below `temp/`, which is deleted then. Raises NoSuchDocument, GrantExpired.
    """
    for _ in range(MOST_MOVES):
        assert grant.final is not None
        made = document_of(grant, stored)
        with scope.ledger() as ledger:
            buckets = scope.storage.learn(scope.named, ledger.rows).buckets
            settled = ledger.uploads.settle(
                grant.tenant_id,
                grant.grant_id,
                StoredUpload(grant.final, stored.size, stored.etag, made.version, made.checksum),
                buckets,
                partial(on_commit, made) if on_commit else None,
                was_staged=was_staged,
            )
        if settled is not None:
            delete_staged(scope, grant, settled.deletions)
            return made
        source = grant.final
        grant, stored = store(scope, grant, partial(copy_object, scope, source, stored))
    raise TryAgain(
        f"the tenant {scope.tenant().label} was moved {MOST_MOVES} times while {grant.document_id!r} was stored",
        hint="upload it again",
        subject=grant.document_id,
    )


def copy_object(
    scope: Scope, source: ObjectRef, stored: StoredObject, target: ObjectRef, *, source_scope: Scope | None = None
) -> StoredObject:
    """Copy an object to a key that nothing has: inside S3, if one signature may read it and write there.

    `source_scope`: the tenant whose object it is, if it is another one's. With a role, no credentials reach two buckets of tenants.
    Between two of them the bytes then pass through this process.
    """
    reader, writer = (source_scope or scope).objects, scope.objects
    if not writer.may_copy(source.bucket, target.bucket, reader):
        return carry_object(reader, writer, source, stored, target)
    copied = writer.copy(source, target, source_etag=stored.etag, size=stored.size)
    return replace(copied, content_type=copied.content_type or stored.content_type)


def delete_staged(scope: Scope, grant: Grant, deletions: tuple[Deletion, ...]) -> None:
    """Delete the upload below `temp/` that was copied. What fails here, and the former object, are left to the sweep.

    The former object stays for a while, for whoever has a URL of it. Within the application's own transaction nothing is
    deleted, because that may be rolled back. The URL of a single upload works until it expires, also when its object is gone: the
    record stays until then, so that the sweep finds what was uploaded again.
    """
    for deletion in deletions:
        if deletion.ref == grant.staged and not scope.connections.is_within:
            delete_now(scope, deletion, keeps_record=grant.part_bytes is None)


def delete_now(scope: Scope, deletion: Deletion, *, keeps_record: bool = False) -> None:
    """Delete an object and its record; if that fails, the sweep does it."""
    try:
        scope.objects.delete(deletion.ref)
        if keeps_record:
            return
        with scope.ledger() as ledger:
            ledger.deletions.forget(deletion)
    except RehouseError as error:
        log.warning("%s/%s is left to the sweep: %s", deletion.ref.bucket, deletion.ref.key, error.message)


def give_up(scope: Scope, grant: Grant) -> None:
    """Abort a grant after a failure, whose error is raised by the caller; if this fails too, the grant expires."""
    with suppress(RehouseError), scope.ledger(durably=True) as ledger:
        ledger.uploads.abort(grant.tenant_id, grant.grant_id)


def document_of(grant: Grant, stored: StoredObject | StoredUpload) -> StoredDocument:
    """Return what was stored, as the application sees it."""
    assert grant.final is not None
    checksum = stored.checksum if isinstance(stored, StoredUpload) else checksum_of(stored)
    return StoredDocument(
        document_id=grant.document_id,
        tenant_id=grant.tenant_id,
        name=grant.declared.name,
        bucket=grant.final.bucket,
        key=grant.final.key,
        size=stored.size,
        content_type=grant.declared.content_type,
        etag=stored.etag,
        version=None if stored.version == "null" else stored.version,
        checksum=checksum,
    )


def checksum_of(stored: StoredObject) -> str | None:
    """Return S3's checksum of the whole object as `ALGORITHM:base64`, None if it has none."""
    for name in CHECKSUMS:
        value = stored.checksums.get(name)
        if value and "-" not in value:
            return f"{name.upper()}:{value}"
    return None
