"""Credentials of one tenant: what they reach, how often the role is assumed, and what is refused."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.support.http_relay import HttpRelay, Reply

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.model import Tenant
from rehouse.s3.session import Credentials, Session
from rehouse.s3.tenant_credentials import AHEAD_SECONDS, LEAST_SECONDS, SECONDS, TenantCredentials
from rehouse.sandbox.s3_server import S3Server

TENANT = Tenant(7, "acme", "Acme", None, True)
_numbers = itertools.count(1)


@pytest.fixture
def role(s3_server: S3Server) -> str:
    """A role that may do everything on S3."""
    iam, name = s3_server.root("iam"), f"storage-{next(_numbers)}"
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["sts:AssumeRole", "sts:TagSession"]}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]}))["Role"]
    rights = {"Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(rights))
    return str(made["Arn"])


@pytest.fixture
def sts(s3_server: S3Server, storage_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpRelay]:
    """A relay in front of STS, which sees each request."""
    with HttpRelay(s3_server.port) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", relay.url)
        yield relay


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def client(server: S3Server, keys: Credentials):
    return boto3.session.Session().client(
        "s3", endpoint_url=server.endpoint_url, region_name=server.region, aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key, aws_session_token=keys.token,
    )  # fmt: skip


def test_they_reach_one_bucket_only(
    s3_server: S3Server, storage_settings: Settings, bucket: str, target: str, role: str
) -> None:
    found = TenantCredentials(Session(storage_settings), role).of(TENANT, bucket)
    s3 = client(s3_server, found)
    s3.put_object(Bucket=bucket, Key="a", Body=b"mine")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1
    for forbidden in (
        lambda: s3.get_object(Bucket=target, Key="a"),
        lambda: s3.put_object(Bucket=target, Key="a", Body=b""),
        lambda: s3.list_objects_v2(Bucket=target),
        lambda: s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
        s3.list_buckets,
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()
    assert found.secret_key not in repr(found)


def test_many_threads_assume_the_role_once(
    sts: HttpRelay, storage_settings: Settings, bucket: str, target: str, role: str
) -> None:
    credentials = TenantCredentials(Session(storage_settings), role)
    with ThreadPoolExecutor(32) as pool:
        found = set(pool.map(lambda _: credentials.of(TENANT, bucket), range(200)))
    assert len(found) == len(sts.seen) == 1
    assert credentials.of(TENANT, target) not in found
    assert credentials.of(Tenant(8, "other", "Other", None, True), bucket) not in found
    assert len(sts.seen) == 3


@pytest.mark.parametrize(
    ("passed", "requests"),
    [(SECONDS - AHEAD_SECONDS - 60, 1), (SECONDS - AHEAD_SECONDS + 60, 2), (SECONDS - LEAST_SECONDS + 30, 2)],
)
def test_they_are_renewed_before_they_expire(
    sts: HttpRelay, storage_settings: Settings, bucket: str, role: str, passed: float, requests: int
) -> None:
    clock = Clock()
    credentials = TenantCredentials(Session(storage_settings), role, clock=clock)
    first = credentials.of(TENANT, bucket)
    clock.ahead = passed
    assert (credentials.of(TENANT, bucket) == first) == (requests == 1)
    assert len(sts.seen) == requests


def test_the_present_ones_are_used_while_sts_is_away(
    sts: HttpRelay, storage_settings: Settings, bucket: str, role: str
) -> None:
    clock = Clock()
    credentials = TenantCredentials(Session(storage_settings), role, clock=clock)
    first = credentials.of(TENANT, bucket)
    sts.before = lambda request: Reply(
        503, b"<ErrorResponse><Error><Code>ServiceUnavailable</Code></Error></ErrorResponse>"
    )
    clock.ahead = SECONDS - AHEAD_SECONDS + 60
    assert credentials.of(TENANT, bucket) == first
    clock.ahead = SECONDS
    with pytest.raises(StorageUnavailable):
        credentials.of(TENANT, bucket)


def test_a_role_that_cannot_be_assumed_is_named(storage_settings: Settings, bucket: str) -> None:
    missing = "arn:aws:iam::000000000000:role/missing"
    with pytest.raises(StorageRefused) as refusal:
        TenantCredentials(Session(storage_settings), missing).of(TENANT, bucket)
    assert (refusal.value.code, refusal.value.subject) == ("AccessDenied", "role_arn")
    assert missing in refusal.value.message
    assert "sts:AssumeRole" in refusal.value.hint


def test_without_sts_nothing_is_asked_of_amazon(
    surroundings: Callable[..., Session],
) -> None:
    session = surroundings(endpoint_url="http://127.0.0.1:1", region="us-east-1")
    with pytest.raises(StorageRefused, match="no STS"):
        TenantCredentials(session, "arn:aws:iam::000000000000:role/x").of(TENANT, "bucket")
