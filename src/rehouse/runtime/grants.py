"""Uploads of a browser: grant exactly one, and confirm what arrived.

A grant is exact: size, type and checksum are signed, and so is the condition that there is no object yet. Whatever the server
makes of that, what arrived is compared with what was declared, by its checksum or byte for byte, before a row points to it.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from functools import partial

from rehouse.core.errors import BadUpload, NoSuchObject, RehouseError, UploadMismatch
from rehouse.core.uploads import (
    MOST_SINGLE_BYTES,
    Arrival,
    Checksum,
    ChecksumAlgorithm,
    Declared,
    GrantState,
    Held,
    check_size,
    describe_arrival,
    grant_seconds,
    judge_arrival,
    part_bytes,
    part_problem,
)
from rehouse.ledger.uploads import Grant
from rehouse.runtime.content_types import HEAD_BYTES, find_mismatch
from rehouse.runtime.scope import Scope
from rehouse.runtime.signing import sign_grant
from rehouse.runtime.streams import SINGLE_BYTES
from rehouse.runtime.uploads import commit, copy_object, document_of, give_up, open_grant, require_row, store
from rehouse.runtime.values import OnCommit, StoredDocument, UploadGrant
from rehouse.s3.objects.answers import StoredObject

READABLE = frozenset({ChecksumAlgorithm.CRC32, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256})
"""The checksums that Python computes fast enough to read an object back."""


def create_upload(scope: Scope, document_id: str, declared: Declared, *, as_form: bool) -> UploadGrant:
    """Record a grant and sign its requests; `as_form`: one POST of a form. Raises BadUpload, QuotaExceeded."""
    if as_form:
        check_size(declared.size, most=MOST_SINGLE_BYTES)
    is_single = as_form or declared.size <= SINGLE_BYTES
    _require_checkable(scope, declared.checksum, is_single=is_single)
    seconds = _seconds(scope)
    each = None if is_single else part_bytes(declared.size, SINGLE_BYTES)
    grant = open_grant(scope, document_id, declared, seconds=seconds, part_bytes=each)
    try:
        if is_single:
            return sign_grant(scope, grant, seconds, as_form=as_form)
        upload_id = scope.objects.create_multipart(grant.staged, content_type=declared.content_type)
        with scope.ledger(durably=True) as ledger:
            grant = ledger.uploads.record_upload_id(grant, upload_id)
        return sign_grant(scope, grant, seconds)
    except BaseException:
        give_up(scope, grant)
        raise


def confirm_upload(scope: Scope, grant_id: str, on_commit: OnCommit | None, *, sniff: bool) -> StoredDocument:
    """Compare what arrived with what was declared, and point the row to it; `sniff`: compare the type with the first bytes too.

    Raises UploadMismatch, GrantUnknown, GrantExpired, NoSuchDocument.
    """
    with scope.ledger(durably=True) as ledger:
        grant = ledger.uploads.read_grant(scope.tenant_id, grant_id)
    if grant.stored is not None:
        return document_of(grant, grant.stored)
    require_row(scope, grant.document_id, on_commit)
    if grant.state is GrantState.ABORTED:
        with scope.ledger(durably=True) as ledger:
            ledger.uploads.begin_confirm(grant.tenant_id, grant.grant_id)  # raises GrantExpired
    staged = _find_upload(scope, grant)
    if sniff:
        _require_type(scope, grant, staged)
    grant, stored = store(scope, grant, partial(copy_object, scope, grant.staged, staged))
    return commit(scope, grant, stored, on_commit, was_staged=True)


def abort_upload(scope: Scope, grant_id: str) -> None:
    """Give a grant up. Its objects go with the next sweep after its URLs have expired."""
    with scope.ledger(durably=True) as ledger:
        grant = ledger.uploads.abort(scope.tenant_id, grant_id)
    if grant.upload_id is not None and grant.state is GrantState.ABORTED:
        scope.objects.abort_multipart(grant.staged, grant.upload_id)


def _seconds(scope: Scope) -> int:
    settings = scope.storage.settings
    return grant_seconds(
        settings.upload_grant_seconds,
        temporary_days=settings.lifecycle.temporary_days,
        incomplete_upload_days=settings.lifecycle.incomplete_upload_days,
    )


def _require_checkable(scope: Scope, checksum: Checksum | None, *, is_single: bool) -> None:
    """Refuse a checksum that could not be compared with the bytes at the confirmation."""
    if checksum is None or checksum.algorithm in READABLE:
        return
    is_told = scope.storage.is_aws and (is_single or checksum.algorithm is ChecksumAlgorithm.CRC64NVME)
    if not is_told:
        raise BadUpload(
            f"the checksum {checksum.algorithm} of this upload cannot be checked here", hint="declare sha256 or crc32"
        )


def _find_upload(scope: Scope, grant: Grant) -> StoredObject:
    """Return the upload below `temp/`, which is exactly what was declared. Raises UploadMismatch."""
    if grant.upload_id is not None:
        _complete(scope, grant, grant.upload_id)
    found = scope.objects.head(grant.staged, with_checksums=True)
    if found is None:
        raise _mismatch(grant, "nothing has been uploaded", "upload the file first, to the URL of the grant")
    # Only Amazon S3 is known to compare the checksums that it keeps with the bytes.
    held = Held(found.size, found.content_type, found.checksums if scope.storage.is_aws else {})
    arrival = judge_arrival(grant.declared, held)
    if arrival is Arrival.READ and grant.declared.checksum is not None:
        is_same = _checksum_of(scope, grant, found, grant.declared.checksum) == grant.declared.checksum.value
        arrival = Arrival.SAME if is_same else Arrival.OTHER_CHECKSUM
    if arrival is not Arrival.SAME:
        raise _mismatch(grant, describe_arrival(arrival, grant.declared, held), "ask for a new upload")
    return found


def _complete(scope: Scope, grant: Grant, upload_id: str) -> None:
    """Put the parts together, unless that was done before."""
    try:
        parts = scope.objects.list_parts(grant.staged, upload_id)
    except NoSuchObject:
        return  # it was completed before, or it was given up: a HEAD shows which
    sizes = [(part.number, part.size) for part in parts]
    problem = part_problem(grant.declared.size, grant.part_bytes or SINGLE_BYTES, sizes)
    if problem is not None:
        raise _mismatch(grant, problem, "upload the parts that are missing or wrong, then confirm again")
    scope.objects.complete_multipart(grant.staged, upload_id, parts, only_new=True)


def _require_type(scope: Scope, grant: Grant, found: StoredObject) -> None:
    """Read the first bytes. Raises UploadMismatch if they are of another type than was declared."""
    head = b""
    if found.size:
        with scope.objects.get(grant.staged, end=HEAD_BYTES, if_match=found.etag) as download:
            head = b"".join(download)
    problem = find_mismatch(grant.declared.content_type, head)
    if problem is not None:
        problem = f"it was declared as {grant.declared.content_type}, but {problem}"
        raise _mismatch(grant, problem, "abort it, and ask for a new upload with its true type")


def _checksum_of(scope: Scope, grant: Grant, found: StoredObject, declared: Checksum) -> str:
    """Read the object and return its checksum as S3 would write it."""
    crc = 0
    digest = None if declared.algorithm is ChecksumAlgorithm.CRC32 else hashlib.new(declared.algorithm)
    with scope.objects.get(grant.staged, if_match=found.etag) as download:
        for piece in download:
            if digest is None:
                crc = zlib.crc32(piece, crc)
            else:
                digest.update(piece)
    raw = crc.to_bytes(4, "big") if digest is None else digest.digest()
    return base64.b64encode(raw).decode()


def _mismatch(grant: Grant, problem: str, hint: str) -> RehouseError:
    return UploadMismatch(
        f"the upload {grant.grant_id} of the document {grant.document_id!r}: {problem}",
        hint=hint,
        subject=grant.grant_id,
    )
