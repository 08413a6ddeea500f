"""A grant that is signed anew, or request by request: the same requests as before, and not for longer than the grant lives."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from rehouse.core.errors import GrantExpired, GrantUnknown, NotGranted
from rehouse.core.upload_requests import UploadRequest
from rehouse.runtime.streams import SINGLE_BYTES


def seconds_of(url: str) -> int:
    return int(parse_qs(urlsplit(url).query)["X-Amz-Expires"][0])


@pytest.fixture
def document(room) -> str:
    room.row("d1", None)
    return "d1"


def test_a_signature_does_not_outlive_the_grant(room, acme, document):
    single = acme.create_upload(document, "a.txt", 5, "text/plain")
    parts = acme.create_upload(document, "a.bin", SINGLE_BYTES + 1)
    room.sql("UPDATE s3_upload_grants SET expires_at = clock_timestamp() + interval '100 seconds'")
    again = acme.resume_upload(parts.grant_id)
    urls = [acme.resume_upload(single.grant_id).url, again.parts[1].url, again.list_parts_url, again.abort_url]
    for request in (
        UploadRequest("PUT", parts.key, parts.upload_id, 1), UploadRequest("GET", parts.key, parts.upload_id),
        UploadRequest("DELETE", parts.key, parts.upload_id),
    ):  # fmt: skip
        urls.append(acme.sign_upload(parts.grant_id, request).url)
    urls.append(acme.sign_upload(single.grant_id, UploadRequest("PUT", single.key)).url)
    assert all(60 <= seconds_of(url) <= 100 for url in urls)


def test_no_signature_after_the_last_second(room, acme, document):
    grant = acme.create_upload(document, "a.txt", 5, "text/plain")
    room.sql("UPDATE s3_upload_grants SET expires_at = clock_timestamp() + interval '0.9 seconds'")
    with pytest.raises(GrantExpired):
        acme.resume_upload(grant.grant_id)
    with pytest.raises(GrantExpired):
        acme.sign_upload(grant.grant_id, UploadRequest("PUT", grant.key))


def test_another_tenant_s_grant_is_not_signed(room, acme, storage, document):
    room.tenant("other")
    other = storage.for_tenant("other")
    grant = acme.create_upload(document, "a.txt", 5, "text/plain")
    with pytest.raises(GrantUnknown):
        other.resume_upload(grant.grant_id)
    with pytest.raises(GrantUnknown):
        other.sign_upload(grant.grant_id, UploadRequest("PUT", grant.key))


def test_a_grant_signs_no_other_key(room, acme, document):
    grant = acme.create_upload(document, "a.txt", 5, "text/plain")
    with pytest.raises(NotGranted, match="another key"):
        acme.sign_upload(grant.grant_id, UploadRequest("PUT", "documents/d1/a.txt"))


def test_no_signature_in_a_repr(acme, document):
    grant = acme.create_upload(document, "a.txt", 5, "text/plain")
    assert "Signature" not in repr(acme.sign_upload(grant.grant_id, UploadRequest("PUT", grant.key)))
    assert "Signature" not in repr(acme.resume_upload(grant.grant_id))
