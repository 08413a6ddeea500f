"""The list of our buckets comes page by page: S3 refuses to list more than 10,000 at once."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.config import Settings
from rehouse.s3.buckets.control import BUCKETS_A_PAGE, Control
from rehouse.s3.session import Session

NAMES = [f"home-{number:05}" for number in range(2 * BUCKETS_A_PAGE + 1)] + ["other"]


def page(names: list[str], token: str | None = None) -> Scripted:
    buckets = "".join(f"<Bucket><Name>{name}</Name></Bucket>" for name in names)
    more = f"<ContinuationToken>{token}</ContinuationToken>" if token else ""
    body = f"<ListAllMyBucketsResult><Buckets>{buckets}</Buckets>{more}</ListAllMyBucketsResult>"
    return Scripted(200, body.encode())


def in_pages(seen: Seen) -> Scripted:
    """Answer as S3 does above 10,000 buckets."""
    query = {name: values[0] for name, values in parse_qs(urlsplit(seen.path).query).items()}
    if "max-buckets" not in query:
        return Scripted(400, error("InvalidRequest", "too many buckets to list without pages"))
    names = [name for name in NAMES if name.startswith(query.get("prefix", ""))]
    begin, size = int(query.get("continuation-token", 0)), int(query["max-buckets"])
    return page(names[begin : begin + size], str(begin + size) if begin + size < len(names) else None)


@pytest.fixture(autouse=True)
def stub_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that only a scripted server takes."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")


@pytest.mark.parametrize(
    ("prefix", "expected", "requests"), [("", NAMES, 3), ("home-", NAMES[:-1], 3), ("other", ["other"], 1)]
)
def test_every_bucket_is_listed_once_in_pages(prefix: str, expected: list[str], requests: int) -> None:
    with serving(in_pages) as stub:
        assert list(Control(Session(Settings(endpoint_url=stub.url))).buckets(prefix)) == expected
        assert len(stub.seen) == requests


def test_a_server_without_pages_and_prefix_is_understood() -> None:
    with serving(lambda seen: page(NAMES)) as stub:
        assert list(Control(Session(Settings(endpoint_url=stub.url))).buckets("other")) == ["other"]


def test_whose_a_bucket_is_is_asked_in_pages() -> None:
    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(405, error("MethodNotAllowed"))
        return Scripted(200, b"") if seen.method == "HEAD" else in_pages(seen)

    with serving(answer) as stub:
        control = Control(Session(Settings(endpoint_url=stub.url)))
        assert [control.head(name).whose for name in ("other", "nobodys")] == ["ours", "somebody_else"]
