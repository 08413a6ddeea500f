"""What the router refuses: every status of the table, other tenants, wrong bodies, and requests that no grant allows."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr
from tests.support.age_grants import age
from tests.support.serving import serving
from tests.support.web_uploads import BODY, LARGE, declared, put_parts, store
from tests.web.conftest import make_application

from rehouse.core import errors
from rehouse.core.errors import RehouseError
from rehouse.runtime.storage import TenantStorage
from rehouse.web.errors import STATUSES, answer_error, status_of
from rehouse.web.router import StorageRoute


def refused(answer: httpx.Response, status: int, error: str) -> dict:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert set(told) == {"error", "message", "hint", "subject"}
    assert told["error"] == error
    assert told["message"] and told["hint"]
    return told


@pytest.fixture
def other(room, client_of) -> httpx.Client:
    """The client of another tenant."""
    room.tenant("other")
    return client_of("other")


def test_a_tenant_that_is_unknown_or_not_named(client_of):
    assert refused(client_of("nope").get("/usage"), 404, "unknown_tenant")["subject"] == "nope"
    refused(client_of(None).get("/usage"), 404, "unknown_tenant")


def test_whom_the_application_refuses_comes_no_further(client_of):
    answer = client_of("nobody").get("/usage")
    assert (answer.status_code, answer.json()) == (401, {"detail": "sign in"})


def test_a_tenant_that_is_not_active(room, client_of):
    room.tenant("gone")
    room.sql("UPDATE tenants SET is_active = false WHERE slug = 'gone'")
    refused(client_of("gone").get("/usage"), 403, "inactive_tenant")


def test_another_tenant_s_documents_are_unknown(api, other, document):
    store(api, document)
    for method, path in (
        ("GET", ""), ("GET", "/url"), ("GET", "/content"), ("DELETE", ""), ("POST", "/undelete"), ("GET", "/versions"),
    ):  # fmt: skip
        told = refused(other.request(method, f"/documents/{document}{path}"), 404, "no_such_document")
        assert told["subject"] == document
    put = other.put(f"/documents/{document}/content", params={"name": "a"}, content=BODY)
    refused(put, 404, "no_such_document")
    assert httpx.get(api.get(f"/documents/{document}/url").json()["url"]).content == BODY


def test_another_tenant_s_grant_is_unknown(room, api, other, document):
    grant = api.post("/uploads", json=declared(document)).json()
    path = f"/uploads/{grant['grant_id']}"
    httpx.put(grant["url"], headers=grant["headers"], content=BODY).raise_for_status()
    for method, more in (("GET", ""), ("DELETE", ""), ("POST", "/confirm")):
        refused(other.request(method, path + more), 404, "grant_unknown")
    refused(other.post(f"{path}/sign", json={"method": "PUT", "key": grant["key"]}), 404, "grant_unknown")
    refused(other.post(f"{path}/multipart", params={"key": grant["key"]}), 404, "grant_unknown")
    assert room.pointer(document) == (None, None)
    assert api.post(f"{path}/confirm").status_code == 200


def test_a_row_that_points_to_another_tenant_s_bucket(room, api, document):
    room.tenant("moved", home="home-of-another-tenant")
    room.sql("UPDATE documents SET s3_bucket = 'home-of-another-tenant', s3_key = 'documents/d1/a.txt'")
    refused(api.get(f"/documents/{document}/url"), 403, "foreign_pointer")


@pytest.mark.parametrize("grant", ["nope", "00000000-0000-4000-8000-000000000000", "%00", "a" * 80])
def test_a_grant_that_there_is_not(api, grant):
    refused(api.get(f"/uploads/{grant}"), 404, "grant_unknown")
    refused(api.post(f"/uploads/{grant}/confirm"), 404, "grant_unknown")


@pytest.mark.parametrize("document_id", ["nope", "%00", "..%2e", "a" * 900, "%F0%9F%98%80"])
def test_a_document_that_there_is_not(api, document_id):
    refused(api.get(f"/documents/{document_id}"), 404, "no_such_document")


def test_an_expired_or_ended_grant_is_gone(room, api, document):
    grant = api.post("/uploads", json=declared(document)).json()
    path = f"/uploads/{grant['grant_id']}"
    httpx.put(grant["url"], headers=grant["headers"], content=BODY).raise_for_status()
    age(room)
    signing = {"method": "PUT", "key": grant["key"]}
    for answer in (api.get(path), api.post(f"{path}/sign", json=signing), api.post(f"{path}/confirm")):
        assert refused(answer, 410, "grant_expired")["subject"] == grant["grant_id"]


def test_a_confirmed_grant_signs_nothing_more(api, document):
    grant = api.post("/uploads", json=declared(document)).json()
    httpx.put(grant["url"], headers=grant["headers"], content=BODY).raise_for_status()
    api.post(f"/uploads/{grant['grant_id']}/confirm").raise_for_status()
    answer = api.post(f"/uploads/{grant['grant_id']}/sign", json={"method": "PUT", "key": grant["key"]})
    refused(answer, 410, "grant_expired")


def test_an_upload_beyond_the_plan(room, api, document):
    room.sql("UPDATE tenants SET max_storage_gb = 1")
    told = refused(api.post("/uploads", json=declared(document, size=2 * 1024**3)), 413, "quota_exceeded")
    assert told["subject"] == "acme"


def test_what_has_not_arrived_is_a_mismatch(api, document):
    grant = api.post("/uploads", json=declared(document)).json()["grant_id"]
    refused(api.post(f"/uploads/{grant}/confirm"), 422, "upload_mismatch")


def test_what_is_in_another_state_is_refused(api, document):
    store(api, document)
    refused(api.post(f"/documents/{document}/undelete"), 409, "refused")
    refused(api.delete("/documents/d9"), 404, "no_such_document")


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        ({"size": "5"}, "size"), ({"size": 5.5}, "size"), ({"size": True}, "size"), ({"size": None}, "size"),
        ({"document_id": ""}, "document_id"), ({"document_id": None}, "document_id"), ({"name": 5.5}, None),
        ({"checksum": "sha256"}, "checksum"), ({"checksum": {"algorithm": "sha256"}}, "checksum.value"),
        ({"as_form": "yes"}, "as_form"), ({"key": "temp/x"}, "key"), ({"bucket": "other"}, "bucket"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_as_it_must_be(api, document, change, subject):
    answer = api.post("/uploads", json={**declared(document), **change})
    if subject is None:
        assert answer.status_code == 201  # a number is a name as well
        return
    assert refused(answer, 422, "bad_request")["subject"] == subject


@pytest.mark.parametrize(
    "change",
    [{"size": -1}, {"size": 10**15}, {"name": "a\nb"}, {"name": "  "}, {"content_type": "text"},
     {"checksum": {"algorithm": "md5", "value": "x"}}, {"checksum": {"algorithm": "sha256", "value": "x"}}],
)  # fmt: skip
def test_an_upload_that_cannot_be(api, document, change):
    refused(api.post("/uploads", json={**declared(document), **change}), 422, "bad_upload")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"name": "\\ud800"}', b'{"\\ud800\\n": 1}'])
def test_a_body_that_is_no_upload(api, body):
    answer = api.post("/uploads", content=body, headers={"content-type": "application/json"})
    refused(answer, 422, "bad_request")


def test_a_body_of_another_type_is_refused(api, document):
    answer = api.post("/uploads", content=json.dumps(declared(document)), headers={"content-type": "text/plain"})
    refused(answer, 422, "bad_request")


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_a_body_that_is_too_long(api, document, is_chunked):
    body = json.dumps(declared(document, name="a" * StorageRoute.most_body_bytes)).encode()
    content = iter([body[:100], body[100:]]) if is_chunked else body
    answer = api.post("/uploads", content=content, headers={"content-type": "application/json"})
    refused(answer, 413, "content_too_large")


def test_a_body_that_stalls_is_given_up(room, api, document, monkeypatch):
    monkeypatch.setattr("rehouse.web.body_stream.STALL_SECONDS", 0.2)

    def stalling() -> Iterator[bytes]:
        yield b"a"
        time.sleep(1)
        yield b"b"

    answer = api.put(f"/documents/{document}/content", params={"name": "a"}, content=stalling())
    refused(answer, 422, "bad_upload")
    assert room.pointer(document) == (None, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x"])
def test_a_page_that_is_too_large(api, query):
    assert refused(api.get(f"/documents?{query}"), 422, "bad_request")["subject"] == "limit"


@pytest.mark.parametrize("query", ["expires=0", "expires=604801", "inline=perhaps", f"as_name={'a' * 1025}"])
def test_a_url_that_cannot_be(api, document, query):
    store(api, document)
    refused(api.get(f"/documents/{document}/url?{query}"), 422, "bad_request")


@pytest.mark.parametrize("name", ["%0d%0aset-cookie:%20a", "%00", "%E2%80%AE.pdf", "..%2F..%2Fetc", "%22%5C"])
def test_no_name_breaks_a_download(api, document, name):
    store(api, document)
    answer = api.get(f"/documents/{document}/url?as_name={name}")
    assert answer.status_code == 200
    found = httpx.get(answer.json()["url"])
    assert (found.status_code, found.headers.get("set-cookie")) == (200, None)


SIGN = {"method": "PUT", "key": "KEY", "uploadId": "UPLOAD", "partNumber": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"key": "documents/d1/a.txt"}, {"key": "temp/00000000-0000-4000-8000-000000000000/a.txt"}, {"key": ""},
        {"uploadId": "another"}, {"uploadId": None}, {"partNumber": 0}, {"partNumber": 3}, {"partNumber": None},
        {"method": "GET"}, {"method": "DELETE"}, {"method": "POST"}, {"contentType": "text/html"},
    ],
)  # fmt: skip
def test_nothing_but_the_grant_s_own_is_signed(api, document, change):
    grant = api.post("/uploads", json=declared(document, LARGE)).json()
    asked = {**SIGN, "key": grant["key"], "uploadId": grant["upload_id"]}
    path = f"/uploads/{grant['grant_id']}/sign"
    assert api.post(path, json=asked).status_code == 200
    assert refused(api.post(path, json={**asked, **change}), 403, "not_granted")["subject"] == grant["grant_id"]


@pytest.mark.parametrize("change", [{"method": "HEAD"}, {"method": "PATCH"}, {"partNumber": "1"}, {"key": None}])
def test_a_request_to_sign_that_is_none(api, document, change):
    grant = api.post("/uploads", json=declared(document, LARGE)).json()
    asked = {**SIGN, "key": grant["key"], "uploadId": grant["upload_id"], **change}
    refused(api.post(f"/uploads/{grant['grant_id']}/sign", json=asked), 422, "bad_request")


def test_a_grant_s_signature_takes_no_other_upload(room, api, document):
    room.row("d2", None)
    mine = api.post("/uploads", json=declared(document, LARGE)).json()
    theirs = api.post("/uploads", json=declared("d2", LARGE)).json()
    asked = {**SIGN, "key": theirs["key"], "uploadId": theirs["upload_id"]}
    refused(api.post(f"/uploads/{mine['grant_id']}/sign", json=asked), 403, "not_granted")
    put_parts(theirs, LARGE)


@pytest.mark.parametrize("away", ["database", "storage"])
def test_a_server_that_is_away(room, document, away):
    changes: dict[str, object] = {"database_url": SecretStr("postgresql://u:secret@127.0.0.1:1/app")}
    if away == "storage":
        changes = {"endpoint_url": "http://127.0.0.1:1"}
    settings = room.settings.model_copy(update=changes)
    with TenantStorage.open(settings) as storage, serving(make_application(storage)) as address:
        answer = httpx.put(
            f"{address}/api/documents/{document}/content?name=a", content=BODY, headers={"x-user": "acme"}, timeout=60
        )
    told = refused(answer, 503, "database_refused" if away == "database" else "storage_refused")
    assert answer.headers["retry-after"] == "5"
    assert told["message"] == "the storage is not available at the moment"
    assert "127.0.0.1" not in answer.text and "secret" not in answer.text


@pytest.mark.parametrize("kind", [errors.TryAgain, errors.Locked, errors.Interrupted])
def test_try_again_says_when(kind):
    answer = answer_error(None, kind("the server db-7 is busy", hint="run it again", subject="db-7"))  # type: ignore[arg-type]
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert b"db-7" not in answer.body


def test_every_error_has_a_status():
    found = {each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RehouseError)}
    hint = {"hint": "none"}
    for kind in found - {
        errors.NoSuchObject,
        errors.PreconditionFailed,
        errors.StorageRefused,
        errors.StorageUnavailable,
    }:
        assert 400 <= status_of(kind("x", **hint)) <= 503
    assert {errors.ConfigurationError, errors.Halt} == {
        kind
        for kind in found - {errors.StorageRefused, errors.RehouseError}
        if not issubclass(kind, errors.StorageRefused | errors.StorageUnavailable)
        and status_of(kind("x", **hint)) == 500
    }
    assert set(STATUSES) <= found
