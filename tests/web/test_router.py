"""Every route of the router: what it answers when all is well, on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from tests.support.serving import serving
from tests.support.web_uploads import BODY, LARGE, declared, put_parts, store

from rehouse.core.errors import BadUsage
from rehouse.fastapi import storage_router, tenant_dependency
from rehouse.runtime.values import UploadGrant


def test_a_small_file_through_a_grant(room, api, document):
    answer = api.post("/uploads", json=declared(document))
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    grant = answer.json()
    assert UploadGrant.from_json(answer.text).to_json() == answer.text
    assert httpx.put(grant["url"], headers=grant["headers"], content=BODY).status_code == 200
    assert httpx.put(grant["url"], headers=grant["headers"], content=BODY).status_code == 412
    stored = api.post(f"/uploads/{grant['grant_id']}/confirm")
    assert (stored.status_code, stored.json()["size"]) == (200, len(BODY))
    assert room.body(document) == BODY
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").json() == stored.json()


def test_a_large_file_in_parts(room, api, document):
    grant = api.post("/uploads", json=declared(document, LARGE)).json()
    put_parts(grant, LARGE)
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").json()["size"] == len(LARGE)
    assert room.body(document) == LARGE


def test_a_file_through_a_form(room, api, document):
    grant = api.post("/uploads", json=declared(document, as_form=True)).json()
    sent = httpx.post(grant["url"], data=grant["fields"], files={"file": ("a.txt", BODY, "text/plain")})
    assert sent.status_code in (200, 204), sent.text
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").status_code == 200
    assert room.body(document) == BODY


@pytest.mark.parametrize("body", [BODY, LARGE], ids=["single", "parts"])
def test_a_reloaded_page_gets_its_grant_again(room, api, document, body):
    first = api.post("/uploads", json=declared(document, body)).json()
    again = api.get(f"/uploads/{first['grant_id']}")
    assert again.status_code == 200
    grant = again.json()
    same = ("grant_id", "size", "key", "upload_id", "headers", "expires_at")
    assert [grant[name] for name in same] == [first[name] for name in same]
    if grant["parts"]:
        put_parts(grant, body)
    else:
        assert httpx.put(grant["url"], headers=grant["headers"], content=body).status_code == 200
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").status_code == 200
    assert room.body(document) == body


def test_a_grant_that_is_given_up_is_gone(api, document):
    grant = api.post("/uploads", json=declared(document)).json()["grant_id"]
    assert api.get("/usage").json()["reserved_bytes"] > 0
    assert api.delete(f"/uploads/{grant}").status_code == 204
    assert api.get("/usage").json()["reserved_bytes"] == 0
    assert api.post(f"/uploads/{grant}/confirm").status_code == 410


def test_documents_are_listed_in_pages(room, api):
    for name in ("d1", "d2", "d3"):
        room.row(name, None)
    first = api.get("/documents", params={"limit": 2}).json()
    assert [each["document_id"] for each in first] == ["d1", "d2"]
    assert [each["document_id"] for each in api.get("/documents", params={"after": "d2"}).json()] == ["d3"]
    assert api.get("/documents/d3").json()["key"] is None


def test_a_document_is_downloaded(api, document):
    store(api, document)
    url = api.get(f"/documents/{document}/url", params={"as_name": "Q3 ü.txt", "expires": 60}).json()["url"]
    assert parse_qs(urlsplit(url).query)["X-Amz-Expires"] == ["60"]
    found = httpx.get(url)
    assert found.content == BODY
    assert "attachment" in found.headers["content-disposition"]
    assert "%C3%BC" in found.headers["content-disposition"]


def test_content_is_a_redirect_to_s3(api, document):
    store(api, document)
    answer = api.get(f"/documents/{document}/content", params={"inline": "true"})
    assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
    found = httpx.get(answer.headers["location"])
    assert (found.content, found.headers["content-disposition"].split(";")[0]) == (BODY, "inline")


@pytest.mark.parametrize("body", [b"", BODY, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_a_body_is_stored_while_it_arrives(room, api, document, body, is_chunked):
    content = (body[start : start + 100_000] for start in range(0, len(body), 100_000)) if is_chunked else body
    answer = api.put(
        f"/documents/{document}/content", params={"name": "ü.txt"}, content=content,
        headers={"content-type": "text/x-test"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    assert (answer.json()["size"], answer.json()["content_type"]) == (len(body), "text/x-test")
    assert room.body(document) == body


def test_delete_and_undelete(room, api, document):
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})
    store(api, document)
    [version] = api.get(f"/documents/{document}/versions").json()
    assert version["is_current"]
    assert api.delete(f"/documents/{document}").status_code == 204
    assert api.get(f"/documents/{document}").json()["key"] is None
    assert api.post(f"/documents/{document}/undelete").status_code == 200
    assert room.body(document) == BODY


def test_usage_counts(api, document):
    store(api, document)
    found = api.get("/usage").json()
    assert (found["documents"], found["bytes"], found["max_bytes"]) == (1, len(BODY), 100 * 1024**3)


def test_requests_at_once(room, api):
    names = [f"d{number}" for number in range(12)]
    for name in names:
        room.row(name, None)

    def upload(name: str) -> int:
        grant = api.post("/uploads", json=declared(name, name.encode())).json()
        httpx.put(grant["url"], headers=grant["headers"], content=name.encode()).raise_for_status()
        return api.post(f"/uploads/{grant['grant_id']}/confirm").status_code

    with ThreadPoolExecutor(12) as threads:
        assert set(threads.map(upload, names)) == {200}
    assert [room.body(name) for name in names] == [name.encode() for name in names]


def test_slow_bodies_do_not_keep_others_waiting(room, api):
    names = [f"d{number:02}" for number in range(50)]
    for name in names:
        room.row(name, None)
    may_end = Event()

    def slow() -> Iterator[bytes]:
        yield b"a"
        may_end.wait(60)
        yield b"b"

    def upload(name: str) -> int:
        return api.put(f"/documents/{name}/content", params={"name": "a"}, content=slow()).status_code

    with ThreadPoolExecutor(50) as threads:
        ending = [threads.submit(upload, name) for name in names]
        try:
            assert api.get("/usage", timeout=20).status_code == 200
        finally:
            may_end.set()
        assert {each.result() for each in ending} == {200}
    assert [room.body(name) for name in names] == [b"ab"] * 50


def test_a_route_of_the_application_s_own(client_of, address, document):
    assert httpx.get(f"{address}/names", headers={"x-user": "acme"}).json() == ["d1.txt"]
    answer = httpx.get(f"{address}/fails", headers={"x-user": "acme"})
    assert (answer.status_code, answer.json()["error"]) == (404, "no_such_document")


def test_a_router_that_sniffs_refuses_other_types(storage, document):
    app = FastAPI()
    app.include_router(storage_router(tenant_dependency(storage, lambda: "acme"), sniff=True))
    with serving(app) as address:
        wanted = {"document_id": document, "name": "a.pdf", "size": 5, "content_type": "application/pdf"}
        grant = httpx.post(f"{address}/uploads", json=wanted).json()
        assert httpx.put(grant["url"], content=b"hello", headers=grant["headers"]).status_code == 200
        answer = httpx.post(f"{address}/uploads/{grant['grant_id']}/confirm")
    assert (answer.status_code, answer.json()["error"]) == (422, "upload_mismatch")


def test_no_router_without_a_tenant(storage):
    with pytest.raises(BadUsage, match="does not tell which tenant"):
        tenant_dependency(storage, None)  # type: ignore[arg-type]
    for wrong in (None, lambda: storage.for_tenant("acme"), storage):
        with pytest.raises(BadUsage, match="opens no tenant's storage"):
            storage_router(wrong)  # type: ignore[arg-type]


def test_openapi_describes_every_route(address):
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    told = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if "/api/" in path}
    assert told == {
        "POST /api/uploads", "GET /api/uploads/{grant_id}", "DELETE /api/uploads/{grant_id}",
        "POST /api/uploads/{grant_id}/confirm", "POST /api/uploads/{grant_id}/sign",
        "POST /api/uploads/{grant_id}/multipart", "GET /api/documents", "GET /api/documents/{document_id}",
        "GET /api/documents/{document_id}/url", "GET /api/documents/{document_id}/content",
        "PUT /api/documents/{document_id}/content", "GET /api/documents/{document_id}/versions",
        "DELETE /api/documents/{document_id}", "POST /api/documents/{document_id}/undelete", "GET /api/usage",
    }  # fmt: skip
