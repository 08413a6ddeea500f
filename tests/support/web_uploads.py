"""What the tests of the HTTP faces declare, upload and store."""

from __future__ import annotations

import base64
import hashlib
import random

import httpx

from rehouse.runtime.streams import SINGLE_BYTES

BODY = b"hello"
LARGE = random.Random(12).randbytes(SINGLE_BYTES + 3)


def declared(document: str, body: bytes = BODY, **more: object) -> dict[str, object]:
    value = base64.b64encode(hashlib.sha256(body).digest()).decode()
    checksum = {"algorithm": "sha256", "value": value}
    return {"document_id": document, "name": "a b.txt", "size": len(body), "content_type": "text/plain",
            "checksum": checksum, **more}  # fmt: skip


def put_parts(grant: dict, body: bytes) -> None:
    start = 0
    for part in grant["parts"]:
        assert httpx.put(part["url"], content=body[start : start + part["length"]]).status_code == 200
        start += part["length"]


def store(api: httpx.Client, document: str, body: bytes = BODY) -> dict:
    found = api.put(f"/documents/{document}/content", params={"name": "a b.txt"}, content=body)
    assert found.status_code == 200, found.text
    return found.json()
