"""Tags of a bucket whose tags control access to it (ABAC); no server here has it, so a scripted one plays S3's part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import unquote

import botocore.session
import pytest
from lxml import etree
from tests.support.s3_stub import Scripted, Seen, Stub, error, serving

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

IDENTITY = (
    b"<GetCallerIdentityResponse><GetCallerIdentityResult><Account>000000000000</Account></GetCallerIdentityResult>"
    b"</GetCallerIdentityResponse>"
)
TAGS = {"tenant-id": "1", "tenant-slug": "acme", "cost-centre": "42", "aws:cloudformation:stack-name": "s"}


@pytest.fixture
def abac(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """S3 with a bucket `home` whose tags PutBucketTagging may not change any more."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDSTUB")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-stub")

    def answer(seen: Seen) -> Scripted:
        if "tagging" in seen.path:
            return Scripted(405, error("MethodNotAllowed"))
        if "/tags/" in seen.path:
            return Scripted(204, b"")
        return Scripted(200, IDENTITY)

    with serving(answer) as stub:
        for name in ("STS", "S3_CONTROL"):
            monkeypatch.setenv(f"AWS_ENDPOINT_URL_{name}", stub.url)
        yield stub


def control(stub: Stub) -> Control:
    return Control(Session(Settings(endpoint_url=stub.url)), sleep=lambda seconds: None)


def test_they_are_set_by_the_call_that_works(abac: Stub) -> None:
    assert control(abac).apply("home", "tags", TAGS)
    (request,) = [seen for seen in abac.seen if "/tags/" in seen.path]
    model = botocore.session.get_session().get_service_model("s3control").operation_model("TagResource")
    assert request.method == model.http["method"]
    assert unquote(request.path) == model.http["requestUri"].replace("{resourceArn+}", "arn:aws:s3:::home")
    assert request.headers["x-amz-account-id"] == "000000000000"
    body = etree.fromstring(request.body)
    assert etree.QName(body).localname == "TagResourceRequest"
    pairs = {tag.findtext("{*}Key"): tag.findtext("{*}Value") for tag in body.iter("{*}Tag")}
    assert pairs == {key: value for key, value in TAGS.items() if not key.startswith("aws:")}, json.dumps(pairs)


def test_without_s3_control_the_endpoint_offers_no_tags(abac: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3_CONTROL")
    assert not control(abac).apply("home", "tags", TAGS)
    assert [seen for seen in abac.seen if "/tags/" in seen.path] == []


def test_where_neither_works_s3s_own_answer_is_told(abac: Stub) -> None:
    denied = Scripted(403, error("AccessDenied"))
    answer = abac.answer
    abac.answer = lambda seen: denied if "tag" in seen.path else answer(seen)
    with pytest.raises(StorageRefused, match="home, tags: AccessDenied"):
        control(abac).apply("home", "tags", TAGS)
