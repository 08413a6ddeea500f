"""The proof by checksum, against scripted HEADs: no server here computes a checksum over a whole multipart object."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.s3_stub import Scripted, Seen, serving

from rehouse.config import Settings
from rehouse.core.comparing import Finding, Proof
from rehouse.core.model import ObjectRef
from rehouse.operations.steps.proofs import Ends, compare_by_checksum
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.session import Session

ENDS = Ends("d1", ObjectRef("shared", "k"), "aa-2", ObjectRef("home", "documents/d1/k"), "bb-3")


def head(etag: str, **checksums: str) -> Scripted:
    headers = {"ETag": f'"{etag}"', "Content-Length": "7", "Last-Modified": "Mon, 23 Nov 2026 07:00:00 GMT"}
    headers |= {f"x-amz-checksum-{name}": value for name, value in checksums.items()}
    return Scripted(headers=headers)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")
    yield


@pytest.mark.parametrize(
    ("source", "target", "finding"),
    [
        (head("aa-2", crc64nvme="x=="), head("bb-3", crc64nvme="x=="), Finding.SAME),
        (head("aa-2", crc64nvme="x=="), head("bb-3", crc64nvme="y=="), Finding.DIFFERENT),
        (head("aa-2", crc64nvme="x=="), head("bb-3", sha256="x=="), Finding.COULD_NOT_CHECK),
        (head("aa-2", crc32="x==-2"), head("bb-3", crc32="x==-3"), Finding.COULD_NOT_CHECK),
        (head("aa-2"), head("bb-3"), Finding.COULD_NOT_CHECK),
        (head("changed", crc64nvme="x=="), head("bb-3", crc64nvme="x=="), Finding.COULD_NOT_CHECK),
        (head("aa-2", crc64nvme="x=="), head("changed", crc64nvme="x=="), Finding.COULD_NOT_CHECK),
        (Scripted(404, b""), head("bb-3", crc64nvme="x=="), Finding.COULD_NOT_CHECK),
    ],
)
@pytest.mark.usefixtures("environment")
def test_checksums_prove_only_what_they_cover(source: Scripted, target: Scripted, finding: Finding) -> None:
    def answer(seen: Seen) -> Scripted:
        assert "location" in seen.path or seen.headers["x-amz-checksum-mode"] == "ENABLED"
        return source if seen.path.startswith("/shared") else target

    with serving(answer) as stub:
        plane = BulkPlane(Session(Settings(endpoint_url=stub.url)), max_in_flight=2, max_rate=None)
        compared = compare_by_checksum(plane, [ENDS])
        plane.close()
    assert compared["d1"].finding is finding
    assert (compared["d1"].proof is Proof.CHECKSUM) is (finding is Finding.SAME)
    assert compared["d1"].fault is None


@pytest.mark.parametrize("silent", ["/shared", "/home"])
@pytest.mark.usefixtures("environment")
def test_a_side_without_an_answer_is_not_taken_for_changed(silent: str) -> None:
    def answer(seen: Seen) -> Scripted:
        if seen.path.startswith(silent) and seen.method == "HEAD":
            return Scripted(405, b"")
        return head("aa-2", crc64nvme="x==") if seen.path.startswith("/shared") else head("bb-3", crc64nvme="x==")

    with serving(answer) as stub:
        plane = BulkPlane(Session(Settings(endpoint_url=stub.url)), max_in_flight=2, max_rate=None)
        comparison = compare_by_checksum(plane, [ENDS])["d1"]
        plane.close()
    assert comparison.finding is Finding.COULD_NOT_CHECK
    assert comparison.fault
    assert comparison.fault.code == "HTTP405"
    assert comparison.fault.message in comparison.detail
