"""Uploads of a browser: a grant is exact and used once, and what arrived is compared before a row points to it."""

from __future__ import annotations

import base64
import hashlib
import random
import urllib.error
import urllib.request
import zlib
from typing import Any

import pytest
from tests.support.age_grants import age
from tests.support.forms import form

from rehouse.core.errors import BadUpload, GrantExpired, NoSuchDocument, UploadMismatch
from rehouse.runtime.streams import SINGLE_BYTES
from rehouse.runtime.values import UploadGrant

BODY = b"hello"


def put(url: str, body: bytes, headers: dict[str, str] | None = None, *, method: str = "PUT") -> int:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {"content-type": ""})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def sha256(body: bytes) -> tuple[str, str]:
    return "sha256", base64.b64encode(hashlib.sha256(body).digest()).decode()


def crc32(body: bytes) -> tuple[str, str]:
    return "crc32", base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()


def upload_parts(grant: UploadGrant, body: bytes, *, order: Any = reversed) -> None:
    pieces, start = [], 0
    for part in grant.parts:
        pieces.append((part.url, body[start : start + part.length]))
        start += part.length
    assert start == len(body)
    assert {put(url, piece) for url, piece in order(pieces)} == {200}


@pytest.fixture
def document(room) -> str:
    room.row("d1", None)
    return "d1"


@pytest.mark.parametrize("checksum", [None, sha256(BODY), crc32(BODY)], ids=["none", "sha256", "crc32"])
def test_a_granted_upload_becomes_the_document(room, acme, document, checksum):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain", checksum)
    assert put(grant.url, BODY, dict(grant.headers)) == 200
    assert room.pointer(document) == (None, None)
    [staged] = room.keys(room.shared)
    assert staged == f"temp/{grant.grant_id}/a.txt"
    stored = acme.confirm_upload(UploadGrant.from_json(grant.to_json()))
    assert room.body(document) == BODY
    assert room.keys(room.shared) == [stored.key] != [staged]
    assert acme.confirm_upload(grant.grant_id) == stored
    age(room)
    assert acme._scope.storage.sweep().objects == 0
    assert room.sql("SELECT count(*) FROM s3_pending_deletions") == [(0,)]


def test_a_grant_is_used_once(acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain")
    assert put(grant.url, BODY, dict(grant.headers)) == 200
    assert put(grant.url, BODY, dict(grant.headers)) == 412


def test_an_upload_after_the_confirmation_is_swept(room, acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain")
    assert put(grant.url, BODY, dict(grant.headers)) == 200
    stored = acme.confirm_upload(grant)
    assert put(grant.url, b"jello", dict(grant.headers)) == 200
    assert (acme.confirm_upload(grant), room.body(document)) == (stored, BODY)
    room.sql("UPDATE s3_pending_deletions SET created_at = created_at - interval '2 days'")
    sweep = acme._scope.storage.sweep
    assert (sweep().objects, len(room.keys(room.shared))) == (0, 2)
    age(room)
    assert sweep().objects == 1
    assert room.keys(room.shared) == [stored.key]
    assert room.sql("SELECT count(*) FROM s3_pending_deletions") == [(0,)]


def test_what_was_not_signed_is_refused(room, acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain")
    without = {name: value for name, value in grant.headers.items() if name != "if-none-match"}
    assert put(grant.url, BODY + b"!", dict(grant.headers)) == 403
    assert put(grant.url, BODY, {**grant.headers, "content-type": "text/html"}) == 403
    assert put(grant.url, BODY, without) == 403
    assert put(grant.url.replace("a.txt", "b.txt"), BODY, dict(grant.headers)) == 403
    assert room.keys(room.shared) == []


def test_nothing_that_arrived_is_no_upload(room, acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain")
    with pytest.raises(UploadMismatch, match="nothing has been uploaded"):
        acme.confirm_upload(grant)
    assert room.pointer(document) == (None, None)
    assert put(grant.url, BODY, dict(grant.headers)) == 200
    assert acme.confirm_upload(grant).size == len(BODY)


@pytest.mark.parametrize(
    ("body", "content_type", "problem"),
    [(b"HELLO", "text/plain", "another checksum"), (b"hello!", "text/plain", "6 bytes, 5 were declared"),
     (b"hello", "text/html", "content type")],
)  # fmt: skip
def test_other_bytes_below_temp_are_refused(room, acme, document, body, content_type, problem):
    """A server may accept what was not signed: then the confirmation finds it."""
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain", sha256(BODY))
    key = f"temp/{grant.grant_id}/a.txt"
    room.root.put_object(Bucket=room.shared, Key=key, Body=body, ContentType=content_type)
    with pytest.raises(UploadMismatch, match=problem):
        acme.confirm_upload(grant)
    assert room.pointer(document) == (None, None)


def test_an_upload_in_parts_in_any_order(room, acme, document):
    body = random.Random(1).randbytes(2 * SINGLE_BYTES + 3)
    grant = acme.create_upload(document, "a.bin", len(body), "application/x-data", sha256(body))
    assert [part.length for part in grant.parts] == [SINGLE_BYTES, SINGLE_BYTES, 3]
    assert put(grant.parts[2].url, b"wxyz") == 403
    with pytest.raises(UploadMismatch, match="part 1 of 3 was not uploaded"):
        acme.confirm_upload(grant)
    upload_parts(grant, body)
    with urllib.request.urlopen(grant.list_parts_url) as answer:
        assert answer.read().count(b"<PartNumber>") == 3
    stored = acme.confirm_upload(grant)
    assert room.body(document) == body
    assert stored.content_type == "application/x-data"
    assert room.keys(room.shared) == [stored.key]


def test_other_parts_are_refused(room, acme, document):
    body = random.Random(1).randbytes(SINGLE_BYTES + 1)
    grant = acme.create_upload(document, "a.bin", len(body), "", sha256(body))
    upload_parts(grant, body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(UploadMismatch, match="another checksum"):
        acme.confirm_upload(grant)
    assert room.pointer(document) == (None, None)


def test_an_expired_grant_is_refused_and_swept(room, storage, acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain")
    put(grant.url, BODY, dict(grant.headers))
    reserved = acme.usage().reserved_bytes
    age(room)
    with pytest.raises(GrantExpired):
        acme.confirm_upload(grant)
    assert storage.sweep(dry_run=True).expired_grants == 1
    assert room.keys(room.shared) != []
    swept = storage.sweep()
    assert (swept.expired_grants, swept.objects, swept.failed) == (1, 1, ())
    assert room.keys(room.shared) == []
    assert (reserved, acme.usage().reserved_bytes) == (len(BODY) - 1, 0)  # the row of the data room counts one byte


def test_an_aborted_grant_gives_its_reservation_back(acme, document):
    large = acme.create_upload(document, "a.bin", 3 * SINGLE_BYTES)
    assert acme.usage().reserved_bytes == 3 * SINGLE_BYTES - 1
    acme.abort_upload(large)
    assert acme.usage().reserved_bytes == 0
    assert put(large.parts[0].url, b"x" * SINGLE_BYTES) == 404
    with pytest.raises(GrantExpired):
        acme.confirm_upload(large)


def test_a_row_that_went_meanwhile_is_refused(room, acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain")
    put(grant.url, BODY, dict(grant.headers))
    room.sql("DELETE FROM documents")
    with pytest.raises(NoSuchDocument) as caught:
        acme.confirm_upload(grant)
    assert "on_commit" in caught.value.hint


def test_what_was_overwritten_stays_for_its_urls(room, storage, acme, document):
    room.documents("d2")
    url = acme.download_url("d2")
    grant = acme.create_upload("d2", "a.txt", len(BODY), "text/plain")
    put(grant.url, BODY, dict(grant.headers))
    acme.confirm_upload(grant)
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"d2"
    assert storage.sweep().objects == 0
    age(room)
    assert storage.sweep().objects == 1
    assert room.body("d2") == BODY


def post(grant: UploadGrant, body: bytes, **changed: str) -> int:
    return put(grant.url, *form({**grant.fields, **changed}, body), method=grant.method)


def test_a_form_is_exact_and_becomes_the_document(room, acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain", sha256(BODY), as_form=True)
    grant = UploadGrant.from_json(grant.to_json())
    assert (grant.method, grant.headers, grant.parts) == ("POST", {}, ())
    for body, changed in (
        (b"hell", {}),
        (b"hello!", {}),
        (BODY, {"Content-Type": "text/html"}),
        (BODY, {"key": "documents/d1/a.txt"}),
    ):
        assert post(grant, body, **changed) in {400, 403}
    assert room.keys(room.shared) == []
    assert post(grant, BODY) in {200, 204}
    stored = acme.confirm_upload(grant)
    assert (room.body(document), stored.size) == (BODY, len(BODY))
    assert post(grant, b"jello") in {200, 204}
    assert acme.confirm_upload(grant) == stored
    assert room.body(document) == BODY
    age(room)
    acme._scope.storage.sweep()
    assert room.keys(room.shared) == [stored.key]


def test_a_form_with_other_bytes_is_not_confirmed(acme, document):
    grant = acme.create_upload(document, "a.txt", len(BODY), "text/plain", sha256(BODY), as_form=True)
    assert post(grant, b"jello") in {200, 204}
    with pytest.raises(UploadMismatch):
        acme.confirm_upload(grant)
    assert post(grant, BODY) in {200, 204}
    assert acme.confirm_upload(grant).size == len(BODY)


def test_a_form_takes_as_much_as_s3_takes_at_once(room, acme, document):
    body = random.Random(1).randbytes(SINGLE_BYTES + 1)
    grant = acme.create_upload(document, "a.bin", len(body), "a/b", as_form=True)
    assert post(grant, body) in {200, 204}
    acme.confirm_upload(grant)
    assert room.body(document) == body
    with pytest.raises(BadUpload, match="too many"):
        acme.create_upload(document, "a.bin", 5 * 1024**3 + 1, "a/b", as_form=True)
    acme.abort_upload(acme.create_upload(document, "a.bin", 1, "a/b", as_form=True))


@pytest.mark.parametrize("body", [b"MZ\x90\0\3\0\0\0" + b"\0" * 60 + b"PE\0\0", b"", b"text" * (SINGLE_BYTES // 4 + 1)])
def test_bytes_of_another_type_are_not_confirmed(room, acme, document, body):
    grant = acme.create_upload(document, "a.pdf", len(body), "application/pdf")
    if grant.parts:
        upload_parts(grant, body)
    else:
        assert put(grant.url, body, dict(grant.headers)) == 200
    with pytest.raises(UploadMismatch, match="declared as application/pdf, but the bytes"):
        acme.confirm_upload(grant, sniff=True)
    assert room.pointer(document) == (None, None)


def test_bytes_of_the_declared_type_are_confirmed(room, acme, document):
    body = b"%PDF-1.7\n" + bytes(SINGLE_BYTES)
    grant = acme.create_upload(document, "a.pdf", len(body), "application/pdf")
    upload_parts(grant, body)
    acme.confirm_upload(grant, sniff=True)
    assert room.body(document) == body
