"""The scratch bucket of `doctor --probe` goes with everything in it, also where that takes more than one page."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.buckets.scratch import remove_scratch
from rehouse.s3.session import Session

UPLOADS = ("first", "second", "third")


class Scratch:
    """A scripted bucket with open uploads, whose listing has one upload a page."""

    def __init__(self, refusing: str | None = None) -> None:
        self.refusing = refusing
        self.aborted: list[str] = []
        self.is_deleted = False

    def answer(self, seen: Seen) -> Scripted:
        url = urlsplit(seen.path)
        query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        if seen.method == "POST":
            return Scripted(405, error("MethodNotAllowed"))
        if "uploads" in query:
            return self._page(query.get("upload-id-marker", ""))
        if "versions" in query:
            return Scripted(200, b"<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>")
        if query.get("uploadId") == self.refusing is not None:
            return Scripted(403, error("AccessDenied"))
        if "uploadId" in query:
            self.aborted.append(query["uploadId"])
        else:
            self.is_deleted = True
        return Scripted(204, b"")

    def _page(self, marker: str) -> Scripted:
        at = UPLOADS.index(marker) + 1 if marker else 0
        found = "".join(f"<Upload><Key>k</Key><UploadId>{each}</UploadId></Upload>" for each in UPLOADS[at : at + 1])
        more = at + 1 < len(UPLOADS)
        markers = (
            f"<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>{UPLOADS[at]}</NextUploadIdMarker>" if more else ""
        )
        truncated = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        return Scripted(
            200, f"<ListMultipartUploadsResult>{truncated}{markers}{found}</ListMultipartUploadsResult>".encode()
        )


@pytest.fixture(autouse=True)
def stub_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that only a scripted server takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")


def test_the_uploads_of_every_page_are_aborted() -> None:
    scratch = Scratch()
    with serving(scratch.answer) as stub:
        remove_scratch(Control(Session(Settings(endpoint_url=stub.url))), "scratch")
    assert (scratch.aborted, scratch.is_deleted) == (list(UPLOADS), True)


def test_what_s3_refuses_is_named_and_the_bucket_stays() -> None:
    scratch = Scratch(refusing="second")
    with serving(scratch.answer) as stub, pytest.raises(StorageRefused, match="AccessDenied"):
        remove_scratch(Control(Session(Settings(endpoint_url=stub.url))), "scratch")
    assert (scratch.aborted, scratch.is_deleted) == (["first"], False)
