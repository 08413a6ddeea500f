"""Sign the requests of a grant: for its own key, size, type, checksum and parts, and not longer than it lives."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from rehouse.core.upload_requests import Allowed, Purpose, UploadRequest, judge_request
from rehouse.core.uploads import part_sizes
from rehouse.ledger.uploads import Grant
from rehouse.runtime.scope import Scope
from rehouse.runtime.values import PartGrant, SignedRequest, UploadGrant


def sign_grant(scope: Scope, grant: Grant, seconds: int, *, as_form: bool = False) -> UploadGrant:
    """Return a grant with every request that it allows, signed for `seconds`."""
    if as_form:
        return _sign_form(scope, grant, seconds)
    if grant.part_bytes is None:
        signed = _sign_put(scope, grant, seconds)
        return _grant(grant, url=signed.url, headers=signed.headers)
    presigner, upload_id = scope.objects.presigner, _upload_id(grant)
    return _grant(
        grant,
        parts=tuple(
            PartGrant(number, length, _part_url(scope, grant, number, length, seconds))
            for number, length in enumerate(_lengths(grant), start=1)
        ),
        list_parts_url=presigner.list_parts_url(grant.staged, upload_id, expires=seconds),
        abort_url=presigner.abort_url(grant.staged, upload_id, expires=seconds),
    )


def resume_upload(scope: Scope, grant_id: str) -> UploadGrant:
    """Return an open grant with its requests signed anew, until it expires. Raises GrantUnknown, GrantExpired."""
    return sign_grant(scope, *_read_live(scope, grant_id))


def sign_upload(scope: Scope, grant_id: str, asked: UploadRequest) -> SignedRequest:
    """Sign one request of an open grant. Raises GrantUnknown, GrantExpired, NotGranted."""
    grant, seconds = _read_live(scope, grant_id)
    lengths = [] if grant.upload_id is None else _lengths(grant)
    allowed = Allowed(grant_id, grant.staged.key, grant.declared.content_type, grant.upload_id, len(lengths))
    purpose = judge_request(asked, allowed)
    presigner, url = scope.objects.presigner, None
    if purpose is Purpose.PUT:
        return _sign_put(scope, grant, seconds)
    if purpose is Purpose.PART:
        number = asked.part_number or 0
        url = _part_url(scope, grant, number, lengths[number - 1], seconds)
    elif purpose is Purpose.LIST:
        url = presigner.list_parts_url(grant.staged, _upload_id(grant), expires=seconds)
    elif purpose is Purpose.ABORT:
        url = presigner.abort_url(grant.staged, _upload_id(grant), expires=seconds)
    return SignedRequest(purpose, grant.staged.key, grant.upload_id, url)


def _read_live(scope: Scope, grant_id: str) -> tuple[Grant, int]:
    with scope.ledger(durably=True) as ledger:
        return ledger.uploads.read_live(scope.tenant_id, grant_id)


def _sign_put(scope: Scope, grant: Grant, seconds: int) -> SignedRequest:
    declared = grant.declared
    headers = {"content-type": declared.content_type, "if-none-match": "*"}
    if declared.checksum is not None:
        headers[declared.checksum.header] = declared.checksum.value
    signed = {**headers, "content-length": str(declared.size)}
    url = scope.objects.presigner.put_url(grant.staged, expires=seconds, signed_headers=signed)
    return SignedRequest(Purpose.PUT, grant.staged.key, None, url, headers)


def _sign_form(scope: Scope, grant: Grant, seconds: int) -> UploadGrant:
    declared = grant.declared
    form = scope.objects.presigner.post_policy(
        grant.staged, expires=seconds, content_type=declared.content_type, least=declared.size, most=declared.size
    )
    return _grant(grant, method="POST", url=form.url, fields=form.fields)


def _part_url(scope: Scope, grant: Grant, number: int, length: int, seconds: int) -> str:
    presigner = scope.objects.presigner
    return presigner.part_url(grant.staged, _upload_id(grant), number, length=length, expires=seconds)


def _lengths(grant: Grant) -> list[int]:
    assert grant.part_bytes is not None
    return part_sizes(grant.declared.size, grant.part_bytes)


def _upload_id(grant: Grant) -> str:
    assert grant.upload_id is not None
    return grant.upload_id


def _grant(grant: Grant, **requests: Any) -> UploadGrant:
    return UploadGrant(
        grant.grant_id,
        grant.declared.size,
        grant.declared.content_type,
        grant.expires_at.astimezone(UTC),
        key=grant.staged.key,
        upload_id=grant.upload_id,
        **requests,
    )
