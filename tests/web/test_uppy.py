"""The requests that Uppy's S3 plugin asks to have signed, in its order, against real servers."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx
import pytest
from lxml import etree
from tests.support.web_uploads import BODY, LARGE, declared


class Uppy:
    """Sends what `signRequest` of @uppy/aws-s3 6 sends, and then the request itself."""

    def __init__(self, api: httpx.Client, grant: dict) -> None:
        self.api, self.key = api, grant["key"]
        self.sign = f"{api.base_url}uploads/{self.key.split('/')[1]}/sign"

    def send(self, method: str, body: bytes = b"", **named: object) -> httpx.Response:
        answer = self.api.post(self.sign, json={"method": method, "key": self.key, **named})
        assert answer.status_code == 200, answer.text
        signed = answer.json()
        assert signed["key"] == self.key
        url = urljoin(self.sign, signed["url"])
        mine = {"x-user": "acme"} if url.startswith(str(self.api.base_url)) else {}
        content = None if method in ("GET", "DELETE") else body
        headers = {**({"content-type": ""} if content is not None else {}), **signed["headers"], **mine}
        return httpx.request(method, url, content=content, headers=headers)


def texts(answer: httpx.Response) -> dict[str, str]:
    assert answer.headers["content-type"] == "application/xml"
    root = etree.fromstring(answer.content)
    return {"root": root.tag, **{each.tag: each.text for each in root}}


def parts(answer: httpx.Response) -> list[str]:
    return [each.text for each in etree.fromstring(answer.content).iter("{*}PartNumber")]


@pytest.fixture
def large(api, document) -> tuple[Uppy, dict]:
    grant = api.post("/uploads", json=declared(document, LARGE, name="ü & <b>.bin")).json()
    return Uppy(api, grant), grant


def test_a_small_file(room, api, document):
    grant = api.post("/uploads", json=declared(document)).json()
    uppy = Uppy(api, grant)
    assert uppy.send("PUT", BODY + b"!", contentType="text/plain").status_code == 403
    assert uppy.send("PUT", BODY, contentType="text/plain").status_code == 200
    assert uppy.send("PUT", BODY, contentType="text/plain").status_code == 412
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").status_code == 200
    assert room.body(document) == BODY


def test_a_large_file_in_uppy_s_order(room, api, document, large):
    uppy, grant = large
    begun = texts(uppy.send("POST"))
    assert begun == {"root": "InitiateMultipartUploadResult", "Key": grant["key"], "UploadId": grant["upload_id"]}
    upload_id, start = begun["UploadId"], 0
    for part in grant["parts"]:
        piece = LARGE[start : start + part["length"]]
        sent = uppy.send("PUT", piece, uploadId=upload_id, partNumber=part["number"])
        assert (sent.status_code, bool(sent.headers["etag"])) == (200, True)
        start += part["length"]
    ended = texts(uppy.send("POST", b"<CompleteMultipartUpload/>", uploadId=upload_id))
    assert (ended["root"], ended["Key"], ended["Location"]) == (
        "CompleteMultipartUploadResult", grant["key"], grant["key"],
    )  # fmt: skip
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").status_code == 200
    assert room.body(document) == LARGE


def test_pause_reload_and_resume(room, api, document, large):
    _, first = large
    Uppy(api, first).send("PUT", LARGE[: first["parts"][0]["length"]], uploadId=first["upload_id"], partNumber=1)
    grant = api.get(f"/uploads/{first['grant_id']}").json()  # all that the page has kept is the grant's id
    uppy = Uppy(api, grant)
    assert parts(uppy.send("GET", uploadId=grant["upload_id"])) == ["1"]
    uppy.send("PUT", LARGE[grant["parts"][0]["length"] :], uploadId=grant["upload_id"], partNumber=2)
    assert parts(uppy.send("GET", uploadId=grant["upload_id"])) == ["1", "2"]
    assert api.post(f"/uploads/{grant['grant_id']}/confirm").status_code == 200
    assert room.body(document) == LARGE


def test_a_part_of_another_length_is_refused(large):
    uppy, grant = large
    assert uppy.send("PUT", b"abcd", uploadId=grant["upload_id"], partNumber=2).status_code == 403
    assert uppy.send("PUT", b"abc", uploadId=grant["upload_id"], partNumber=2).status_code == 200


def test_an_abort_gives_the_grant_up(api, large):
    uppy, grant = large
    assert uppy.send("DELETE", uploadId=grant["upload_id"]).status_code == 204
    assert httpx.get(grant["list_parts_url"]).status_code == 404
    assert api.get(f"/uploads/{grant['grant_id']}").status_code == 410
    assert api.get("/usage").json()["reserved_bytes"] == 0
