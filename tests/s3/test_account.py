"""The headers of S3's answer about a bucket, by which `doctor` compares the clocks."""

from __future__ import annotations

import pytest
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.s3.account import answer_headers
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111122223333</Account>"
    b"<Arn>arn:aws:iam::111122223333:user/u</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
OWNER = "x-amz-expected-bucket-owner"


@pytest.fixture(autouse=True)
def stub_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that only a scripted server takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")


@pytest.mark.parametrize(
    ("identity", "owners"),
    [
        (Scripted(200, IDENTITY), ["111122223333"]),
        (Scripted(403, error("RequestExpired")), [None]),
    ],
    ids=["known", "refused for a wrong clock"],
)
def test_the_clock_s_request_names_the_owner_if_known(identity: Scripted, owners: list[str | None]) -> None:
    def answer(seen: Seen) -> Scripted:
        return identity if seen.method == "POST" else Scripted(403, headers={"x-amz-request-id": "R7"})

    with serving(answer) as stub:
        headers = answer_headers(Control(Session(Settings(endpoint_url=stub.url))), "shared")
        assert headers["x-amz-request-id"] == "R7"
        assert "date" in headers
        assert [each.headers.get(OWNER) for each in stub.seen if each.method == "HEAD"] == owners
