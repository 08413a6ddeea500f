"""An alias is resolved by KMS at its own endpoint; what it may not tell is refused, never taken for fine."""

from __future__ import annotations

import pytest

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.s3.buckets.control import Control
from rehouse.s3.kms_keys import key_arn
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server

ALLOWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["kms:*", "sts:*"], "Resource": "*"}]}
ARN = "arn:aws:kms:us-east-1:123456789012:key/1111"


@pytest.fixture
def control(storage_settings: Settings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Control:
    """A control plane whose KMS is the test server's, by KMS's own variable."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", s3_server.endpoint_url)
    return Control(Session(storage_settings))


def become(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, name: str, **policies: object) -> None:
    access_key, secret_key = s3_server.user(name, policies)  # type: ignore[arg-type]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)


def test_an_alias_is_resolved(control: Control, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    become(s3_server, monkeypatch, "kms-allowed", all=ALLOWED)
    root = s3_server._client("kms", "test", s3_server._secret)
    key = root.create_key()["KeyMetadata"]
    root.create_alias(AliasName="alias/docs", TargetKeyId=key["KeyId"])
    assert key_arn(control, "alias/docs") == key["Arn"]
    with pytest.raises(StorageRefused, match="there is no such alias"):
        key_arn(control, "alias/none")


def test_an_alias_that_may_not_be_looked_up_is_refused(
    control: Control, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    become(s3_server, monkeypatch, "kms-denied")
    with pytest.raises(StorageRefused, match="may not be looked up") as refusal:
        key_arn(control, "alias/docs")
    assert "kms:DescribeKey" in refusal.value.hint


def test_another_servers_keys_are_never_sent_to_amazon(storage_settings: Settings) -> None:
    control = Control(Session(storage_settings))
    assert key_arn(control, "AES256") is None
    assert key_arn(control, ARN) == ARN
    assert key_arn(control, "alias/docs") is None
    assert control.requests == {}
