"""The policies that we print are enough for a migration, and for nothing more: with the server's own enforcement, no root."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.core.model import CopyTask, ObjectRef, Tenant
from rehouse.core.permissions.policies import Scope, policy_documents
from rehouse.core.permissions.table import Role
from rehouse.operations.buckets.home_spec import drift
from rehouse.operations.steps.provision import provision_bucket
from rehouse.s3.buckets.control import Control
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.multipart import copy_multipart
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server

TENANT = Tenant(7, "acme", "Acme", None, True)
PART = 5 * 1024**2
_numbers = itertools.count(1)


@pytest.fixture
def settings(storage_settings: Settings, bucket: str) -> Settings:
    """Settings with a shared bucket and a prefix of the test's own."""
    update = {"shared_bucket": (bucket,), "bucket_prefix": f"rights-{next(_numbers)}"}
    return storage_settings.model_copy(update=update)


@pytest.fixture
def home(settings: Settings) -> str:
    """The name of a tenant bucket."""
    return f"{settings.bucket_prefix}-acme-a1b2c3d4"


def acting(
    settings: Settings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, *roles: Role
) -> tuple[Control, BulkPlane]:
    """Become a user who has exactly these roles' policies."""
    documents = policy_documents(roles, Scope(settings.shared_bucket, settings.bucket_prefix))
    access_key, secret_key = s3_server.user(f"{settings.bucket_prefix}-{'-'.join(roles)}", documents)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
    control = Control(Session(settings), sleep=lambda seconds: None)
    owner = control.identity().account
    return control, BulkPlane(control.session, max_in_flight=8, max_rate=None, owner=owner)


@pytest.fixture
def migrating(
    settings: Settings, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Control, BulkPlane]]:
    """The control and bulk plane of a user with the policies of provision and migrate."""
    control, bulk = acting(settings, s3_server, monkeypatch, "provision", "migrate")
    yield control, bulk
    bulk.close()


def task(settings: Settings, home: str, key: str, etag: str, size: int) -> CopyTask:
    target = ObjectRef(home, f"documents/1/{key}")
    return CopyTask("1", ObjectRef(settings.shared_bucket[0], key), etag, size, "STANDARD", target)


def test_provision_copy_list_and_verify_need_no_more(
    settings: Settings, home: str, migrating: tuple[Control, BulkPlane], s3_server: S3Server
) -> None:
    root, shared = s3_server.root(), settings.shared_bucket[0]
    root.put_object(Bucket=shared, Key="a b+c.pdf", Body=b"hello", Tagging="x=y", Metadata={"who": "me"})
    control, bulk = migrating
    provision_bucket(settings, control, TENANT, home)
    (source,) = next(iter(bulk.list(shared)))
    (outcome,) = bulk.copy([task(settings, home, source.key, source.etag, source.size)])
    assert outcome.fault is None
    assert [each.key for page in bulk.list(home) for each in page] == ["documents/1/a b+c.pdf"]
    assert [head.fault for head in bulk.head([ObjectRef(shared, source.key)])] == [None]
    assert drift(settings, control, TENANT, home) == ()
    tags = root.get_object_tagging(Bucket=home, Key="documents/1/a b+c.pdf")["TagSet"]
    assert tags == [{"Key": "x", "Value": "y"}]


def test_a_large_object_needs_no_more(
    settings: Settings, home: str, migrating: tuple[Control, BulkPlane], s3_server: S3Server
) -> None:
    body = b"0" * (PART + 1)
    etag = s3_server.root().put_object(Bucket=settings.shared_bucket[0], Key="large", Body=body, Tagging="x=y")["ETag"]
    control, bulk = migrating
    provision_bucket(settings, control, TENANT, home)
    large = task(settings, home, "large", etag.strip('"'), len(body))
    outcome = copy_multipart(control.client, bulk, large, part_bytes=PART, owner=control.identity().account)
    assert outcome.fault is None


def test_the_shared_bucket_is_out_of_the_migrations_reach(
    settings: Settings, migrating: tuple[Control, BulkPlane], s3_server: S3Server
) -> None:
    shared = settings.shared_bucket[0]
    s3_server.root().put_object(Bucket=shared, Key="a", Body=b"hello")
    client = migrating[0].client
    for forbidden in (
        lambda: client.put_object(Bucket=shared, Key="a", Body=b"other"),
        lambda: client.delete_object(Bucket=shared, Key="a"),
        lambda: client.delete_bucket_policy(Bucket=shared),
        lambda: client.put_bucket_versioning(Bucket=shared, VersioningConfiguration={"Status": "Suspended"}),
        lambda: client.create_bucket(Bucket="a-bucket-of-another-prefix"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()
    assert s3_server.root().get_object(Bucket=shared, Key="a")["Body"].read() == b"hello"


def test_the_application_reads_and_writes_objects_and_no_more(
    settings: Settings,
    home: str,
    migrating: tuple[Control, BulkPlane],
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provision_bucket(settings, migrating[0], TENANT, home)
    client = acting(settings, s3_server, monkeypatch, "application")[0].client
    for bucket in (home, settings.shared_bucket[0]):
        client.put_object(Bucket=bucket, Key="documents/2/b", Body=b"new")
        assert client.get_object(Bucket=bucket, Key="documents/2/b")["Body"].read() == b"new"
        client.delete_object(Bucket=bucket, Key="documents/2/b")
        with pytest.raises(ClientError, match="AccessDenied"):
            client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


def test_the_applications_storage_needs_no_more(
    settings: Settings,
    home: str,
    migrating: tuple[Control, BulkPlane],
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provision_bucket(settings, migrating[0], TENANT, home)
    control, _ = acting(settings, s3_server, monkeypatch, "application")
    client = ObjectClient(control.session, owner=control.identity().account)
    for bucket in (home, settings.shared_bucket[0]):
        temp, final = ObjectRef(bucket, "temp/1/a"), ObjectRef(bucket, "documents/1/a")
        upload = client.create_multipart(temp, content_type="a/b", headers={"x-amz-tagging": "x=y"})
        client.upload_part(temp, upload, 1, b"hello")
        made = client.complete_multipart(temp, upload, client.list_parts(temp, upload), only_new=True)
        client.copy(temp, final, source_etag=made.etag, size=5)
        client.delete(temp)
        assert client.head(temp) is None
        assert client.open(final).read() == b"hello"
        versions = [each for each in client.versions(bucket, "documents/1/") if not each.is_marker]
        if bucket == home:
            client.delete(final)
            old = ObjectRef(bucket, final.key, versions[-1].version)
            client.copy(old, final, source_etag=versions[-1].etag, size=5)
        assert client.get(final).read() == b"hello"
        with pytest.raises(StorageRefused) as refusal:
            client.delete(ObjectRef(bucket, final.key, versions[-1].version))
        assert refusal.value.code == "AccessDenied"


def test_rollback_can_send_back_and_cannot_delete(
    settings: Settings,
    home: str,
    migrating: tuple[Control, BulkPlane],
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provision_bucket(settings, migrating[0], TENANT, home)
    etag = s3_server.root().put_object(Bucket=home, Key="documents/1/a", Body=b"born here", Tagging="x=y")["ETag"]
    control, bulk = acting(settings, s3_server, monkeypatch, "rollback")
    shared = settings.shared_bucket[0]
    back = CopyTask(
        "1", ObjectRef(home, "documents/1/a"), etag.strip('"'), 9, "STANDARD", ObjectRef(shared, "returned/acme/1/a")
    )
    (outcome,) = bulk.copy([back])
    bulk.close()
    assert outcome.fault is None
    for bucket, key in ((shared, "returned/acme/1/a"), (home, "documents/1/a")):
        with pytest.raises(ClientError, match="AccessDenied"):
            control.client.delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("roles", [("application",), ("provision", "migrate", "finish", "application")])
def test_the_trail_of_what_was_done_is_out_of_reach(
    settings: Settings, roles: tuple[Role, ...], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = f"{settings.bucket_prefix}-logs"
    s3_server.root().create_bucket(Bucket=trail)
    s3_server.root().put_object(Bucket=trail, Key="2026-11-01", Body=b"who deleted what")
    client = acting(settings, s3_server, monkeypatch, *roles)[0].client
    for forbidden in (
        lambda: client.delete_object(Bucket=trail, Key="2026-11-01"),
        lambda: client.put_object(Bucket=trail, Key="2026-11-01", Body=b"nothing"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            forbidden()
