"""What each call costs: the statements that PostgreSQL gets, and the requests that S3 gets. docs/storage.md has the same table."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.support.storage_costs import CountingPool

from rehouse.core.upload_requests import UploadRequest
from rehouse.runtime.storage import TenantStorage
from rehouse.runtime.streams import SINGLE_BYTES

PAGE = Path(__file__).parents[2] / "docs" / "storage.md"


def put(grant: Any, body: bytes) -> None:
    request = urllib.request.Request(grant.url, data=body, method="PUT", headers=dict(grant.headers))
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def read(acme: Any, document_id: str) -> None:
    with acme.open(document_id) as file:
        assert file.read() == b"12345"


def test_every_call_costs_what_the_docs_say(room):
    pool = CountingPool(room.url)
    with TenantStorage.open(room.settings, pool=pool, on_call=pool.calls.append) as storage:
        acme = storage.for_tenant("acme")
        for number in range(9):
            room.row(f"d{number}", None)
        acme.upload("d0", "a.txt", BytesIO(b"12345"), "text/plain")
        acme.upload("d1", "a.txt", BytesIO(b"12345"), "text/plain")
        acme.copy_to(acme, "d1", "d6")  # the first missing object of a bucket costs one request more
        [row, *_] = acme.list()
        grants: list[Any] = []
        large = BytesIO(b"x" * (SINGLE_BYTES + 1))
        calls: dict[str, Callable[[], object]] = {
            "for_tenant": lambda: storage.for_tenant("acme"),
            "get": lambda: acme.get("d0"),
            "list": acme.list,
            "usage": acme.usage,
            "download_url": lambda: acme.download_url("d0"),
            "download_url of a row": lambda: acme.download_url(row),
            "open, and read all": lambda: read(acme, "d0"),
            "upload": lambda: acme.upload("d2", "a.txt", BytesIO(b"x"), "text/plain"),
            "upload in two parts": lambda: acme.upload("d3", "a.txt", large, "text/plain"),
            "create_upload": lambda: grants.append(acme.create_upload("d4", "a.txt", 1, "text/plain")),
            "resume_upload": lambda: acme.resume_upload(grants[0].grant_id),
            "sign_upload": lambda: acme.sign_upload(grants[0].grant_id, UploadRequest("PUT", grants[0].key)),
            "confirm_upload": lambda: (put(grants[0], b"x"), acme.confirm_upload(grants[0])),
            "confirm_upload again": lambda: acme.confirm_upload(grants[0]),
            "copy_to": lambda: acme.copy_to(acme, "d0", "d5"),
            "versions": lambda: acme.versions("d0"),
            "delete": lambda: acme.delete("d0"),
        }
        pool.cost()
        found = {}
        for name, call in calls.items():
            call()
            found[name] = pool.cost()
    told = PAGE.read_text(encoding="utf-8").partition("\n## What each call costs\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| ([^|]+?) \| (\d+) \| (\d+) \|", told, re.MULTILINE)
    assert {name.replace("`", ""): (int(sql), int(requests)) for name, sql, requests in lines} == found
