"""How a document loses its object, how it gets it back or gets a copy of another's.

The pointer goes first and the object second, so that no row ever points to what was deleted. What is to be deleted is recorded
in the transaction that takes the pointer away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rehouse.core.errors import NoSuchObject, PreconditionFailed, Refused
from rehouse.core.model import ObjectRef
from rehouse.core.naming import target_folder, tenant_folder
from rehouse.core.uploads import MOST_GRANT_SECONDS, Declared, declare
from rehouse.runtime.scope import Scope
from rehouse.runtime.uploads import commit, copy_object, delete_now, give_up, open_grant, require_row, store
from rehouse.runtime.values import DocumentInfo, DocumentVersion, OnCommit, StoredDocument
from rehouse.s3.faults import NO_SUCH_KEY
from rehouse.s3.objects.answers import StoredObject

ATTEMPTS = 3
"""How often a copy begins again if its source is moved or replaced meanwhile."""


def delete(scope: Scope, document_id: str, on_delete: Callable[[], object] | None) -> None:
    """Take the document's pointer away, then delete its object; in a versioned bucket its versions stay."""
    with scope.ledger() as ledger:
        known = scope.storage.learn(scope.named, ledger.rows)
        deletion = ledger.deletions.detach(known.row, document_id, known.buckets, on_delete)
    if scope.connections.is_within:
        return  # it may still be rolled back: the sweep deletes the object
    with scope.ledger() as ledger:
        may_delete = ledger.deletions.may_delete(deletion.tenant_id, deletion.document_id, deletion.ref)
    if may_delete:
        delete_now(scope, deletion)


def versions(scope: Scope, document_id: str) -> list[DocumentVersion]:
    """Return the versions that the tenant's buckets keep of a document, the newest first."""
    return _versions_of(scope, scope.document(document_id))


def undelete(scope: Scope, document_id: str, on_commit: OnCommit | None) -> StoredDocument:
    """Copy the newest version of a deleted document to a new key, and point the row to it."""
    document = scope.document(document_id)
    if document.has_file:
        raise Refused(
            f"the document {document_id!r} is not deleted: its row points to an object",
            hint="upload() replaces it",
            subject=document_id,
        )
    found = _versions_of(scope, document)
    if not found:
        raise Refused(
            f"no version of the document {document_id!r} is kept in {', '.join(_buckets_of(scope))}",
            hint="a bucket without versioning keeps none, and noncurrent versions expire (lifecycle.noncurrent_days)",
            subject=document_id,
        )
    newest = found[0]
    source = ObjectRef(newest.bucket, newest.key, newest.version)
    held = scope.objects.head(source)
    if held is None:
        raise Refused(f"the version of the document {document_id!r} is gone", hint="try again", subject=document_id)
    declared = declare(document.name or newest.key.rpartition("/")[2], held.size, held.content_type)
    return _copy_into(Target(scope, document_id, on_commit=on_commit), declared, source, held)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a copy goes: a document of a tenant, under a name of its own or the source's."""

    scope: Scope
    document_id: str
    name: str | None = None
    on_commit: OnCommit | None = None


def copy_to(scope: Scope, document_id: str, target: Target) -> StoredDocument:
    """Copy a document inside S3 into another one. Both are checked: the source's row and the target's."""
    for attempt in range(1, ATTEMPTS + 1):
        document = scope.document(document_id)
        source = scope.place_of(document)
        try:
            held = _require_source(scope, source)
            declared = declare(target.name or document.name or "file", held.size, held.content_type)
            return _copy_into(target, declared, source, held, source_scope=scope)
        except (NoSuchObject, PreconditionFailed):  # it is moved or replaced at this moment: the row says where to
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _require_source(scope: Scope, source: ObjectRef) -> StoredObject:
    held = scope.objects.head(source)
    if held is None:
        raise NoSuchObject(f"s3://{source.bucket}/{source.key}", NO_SUCH_KEY)
    return held


def _copy_into(
    target: Target, declared: Declared, source: ObjectRef, held: StoredObject, *, source_scope: Scope | None = None
) -> StoredDocument:
    scope = target.scope
    require_row(scope, target.document_id, target.on_commit)
    grant = open_grant(scope, target.document_id, declared, seconds=MOST_GRANT_SECONDS)
    try:
        grant, stored = store(scope, grant, partial(copy_object, scope, source, held, source_scope=source_scope))
        return commit(scope, grant, stored, target.on_commit)
    except BaseException:
        give_up(scope, grant)
        raise


def _buckets_of(scope: Scope) -> list[str]:
    buckets = scope.tenant().buckets
    return [*([buckets.home] if buckets.home else []), *sorted(buckets.former), *buckets.shared]


def _versions_of(scope: Scope, document: DocumentInfo) -> list[DocumentVersion]:
    shared = scope.tenant().buckets.shared
    found = []
    for bucket in _buckets_of(scope):
        for folder in _folders_of(scope, document, is_shared=bucket in shared):
            for each in scope.objects.versions(bucket, folder):
                if not each.is_marker:
                    is_current = each.is_latest and (document.bucket, document.key) == (bucket, each.key)
                    found.append(
                        DocumentVersion(
                            bucket, each.key, each.version, each.etag, each.size, each.modified_at, is_current
                        )
                    )
    return sorted(found, key=lambda each: each.modified_at, reverse=True)


def _folders_of(scope: Scope, document: DocumentInfo, *, is_shared: bool) -> Iterator[str]:
    """Yield the prefixes that only this document's keys have in a bucket."""
    longest = scope.storage.longest_key
    folder = tenant_folder(document.tenant_id, max_characters=longest) if is_shared else ""
    yield folder + target_folder(document.document_id, max_characters=longest - len(folder))
