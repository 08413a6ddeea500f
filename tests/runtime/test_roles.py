"""With a role, a handle reaches its tenant's bucket with credentials of that tenant, whatever the process itself may do."""

from __future__ import annotations

import itertools
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest
from pydantic import SecretStr
from tests.support.application_role import make_application_role
from tests.support.children import in_child
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay
from tests.support.isolation_room import role_of_tenants

from rehouse.core.errors import ForeignPointer, Refused, StorageRefused
from rehouse.core.model import ObjectRef
from rehouse.runtime.storage import TenantStorage
from rehouse.runtime.streams import SINGLE_BYTES

_numbers = itertools.count(1)


@pytest.fixture
def keys(room: Room, monkeypatch: pytest.MonkeyPatch) -> str:
    """Credentials of the process that reach objects of the shared bucket and assume roles, and nothing else; their key."""
    iam, name = room.server.root("iam"), f"process-{next(_numbers)}"
    iam.create_user(UserName=name)
    rights = [
        {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{room.shared}", f"arn:aws:s3:::{room.shared}/*"],
        },
    ]
    document = json.dumps({"Version": "2012-10-17", "Statement": rights})
    iam.put_user_policy(UserName=name, PolicyName="process", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
    return str(made["AccessKeyId"])


@pytest.fixture
def sts(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpRelay]:
    """A relay in front of STS, which counts the roles that are assumed."""
    with HttpRelay(room.server.port) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", relay.url)
        yield relay


@pytest.fixture
def storage(room: Room, keys: str, sts: HttpRelay) -> Iterator[TenantStorage]:
    with TenantStorage.open(_settings(room, role_of_tenants(room))) as opened:
        yield opened


def _settings(room: Room, role: str):
    url = SecretStr(make_application_role(room.url, room.settings.mapping))
    return room.settings.model_copy(update={"database_url": url, "role_arn": role})


@pytest.fixture
def home(room: Room) -> str:
    """The bucket of `acme`."""
    return _give_home(room, "acme")


def _give_home(room: Room, slug: str) -> str:
    bucket = f"{room.prefix}-{slug}-{next(_numbers)}"
    room.root.create_bucket(Bucket=bucket)
    room.root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    room.sql("UPDATE tenants SET aws_bucket_name = %s WHERE slug = %s", bucket, slug)
    return bucket


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize("size", [5, 2 * SINGLE_BYTES + 1])
def test_everything_works_in_the_own_bucket(room, storage, home, size):
    room.row("d1", None)
    acme, body = storage.for_tenant("acme"), os.urandom(size)
    stored = acme.upload("d1", "a.txt", BytesIO(body), "text/plain")
    assert stored.bucket == home
    assert acme.open("d1").read() == body
    assert _fetch(acme.download_url("d1")) == body
    acme.delete("d1")
    assert len(acme.versions("d1")) == 1
    acme.undelete("d1")
    assert acme.open("d1").read() == body
    assert storage.sweep().failed == ()


def test_a_granted_upload_is_signed_for_the_own_bucket(room, storage, home, keys):
    room.row("d1", None)
    acme = storage.for_tenant("acme")
    grant = acme.create_upload("d1", "a.txt", 5, "text/plain")
    assert home in grant.url and keys not in grant.url
    request = urllib.request.Request(grant.url, data=b"hello", method="PUT", headers=dict(grant.headers))
    assert urllib.request.urlopen(request).status == 200
    acme.confirm_upload(grant)
    assert acme.open("d1").read() == b"hello"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        _fetch(grant.url)


def test_single_keys_of_the_shared_bucket_need_no_role(room, storage, keys, sts):
    room.row("d1", None)
    acme = storage.for_tenant("acme")
    assert acme.upload("d1", "a.txt", BytesIO(b"hello"), "text/plain").bucket == room.shared
    assert keys in acme.download_url("d1")
    assert acme.open("d1").read() == b"hello"
    assert len(sts.seen) == 0


def test_a_grant_is_confirmed_after_a_cutover(room, storage, sts):
    room.row("d1", None)
    acme = storage.for_tenant("acme")
    grant = acme.create_upload("d1", "a.txt", 5, "text/plain")
    request = urllib.request.Request(grant.url, data=b"hello", method="PUT", headers=dict(grant.headers))
    assert urllib.request.urlopen(request).status == 200
    home = _give_home(room, "acme")
    storage._known = {}
    assert acme.confirm_upload(grant).bucket == home
    assert acme.open("d1").read() == b"hello"


@pytest.mark.parametrize("size", [0, 5, 2 * SINGLE_BYTES + 1])
def test_a_copy_for_another_tenant_passes_through_the_process(room, storage, home, size):
    room.tenant("globex")
    there = _give_home(room, "globex")
    room.row("d1", None)
    room.row("d2", None, slug="globex")
    acme, globex, body = storage.for_tenant("acme"), storage.for_tenant("globex"), os.urandom(size)
    acme.upload("d1", "a.txt", BytesIO(body), "text/plain")
    copied = acme.copy_to(globex, "d1", "d2")
    assert (copied.bucket, copied.size) == (there, size)
    assert globex.open("d2").read() == body
    [found] = room.keys(there)
    assert room.root.head_object(Bucket=there, Key=found)["ContentType"] == "text/plain"


def test_no_handle_reaches_another_tenants_bucket(room, storage, home):
    room.tenant("globex")
    there = _give_home(room, "globex")
    room.put("documents/d2/b.txt", b"secret", there)
    acme = storage.for_tenant("acme")
    room.row("d1", "documents/d2/b.txt", bucket=there)
    with pytest.raises(ForeignPointer):
        acme.open("d1").read()
    with pytest.raises(StorageRefused, match="is not the tenant's"):
        acme._scope.objects.get(ObjectRef(there, "documents/d2/b.txt")).__enter__()
    credentials = storage.roles().of(1, home)
    assert credentials.secret_key not in repr(credentials) + repr(storage.roles().__dict__)


def test_one_role_is_assumed_however_many_ask(room, storage, home, sts):
    room.row("d1", "documents/d1/a.txt", bucket=home)
    document = storage.for_tenant("acme").get("d1")
    with ThreadPoolExecutor(50) as threads:
        urls = list(threads.map(lambda _: storage.for_tenant("acme").download_url(document), range(1000)))
    assert all(home in url for url in urls)
    assert len(sts.seen) == 1


def test_a_child_assumes_the_role_for_itself(room, storage, home, sts):
    room.row("d1", None)
    storage.for_tenant("acme").upload("d1", "a.txt", BytesIO(b"hello"), "text/plain")
    assert in_child(lambda: storage.for_tenant("acme").open("d1").read() == b"hello") == 0
    assert len(sts.seen) == 2


def test_a_url_lives_no_longer_than_its_credentials(room, storage, home):
    room.row("d1", None)
    acme = storage.for_tenant("acme")
    acme.upload("d1", "a.txt", BytesIO(b"hello"), "text/plain")
    assert _fetch(acme.download_url("d1", expires=3000)) == b"hello"
    with pytest.raises(Refused, match="would outlive the credentials"):
        acme.download_url("d1", expires=3001)


@pytest.mark.parametrize("age", [5, 30, 50, 599])
def test_another_process_signs_a_grant_just_made(room, storage, home, age):
    room.row("d1", None)
    with TenantStorage.open(storage.settings) as other:
        acme = other.for_tenant("acme")
        roles = other.roles()
        made = roles.of(acme.tenant_id, home)
        roles._entries[acme.tenant_id, home].credentials = made._replace(expires_at=made.expires_at - age)
        grant = storage.for_tenant("acme").create_upload("d1", "a.txt", 5, "text/plain")
        assert 2990 < grant.expires_at.timestamp() - time.time() <= 3000
        assert acme.resume_upload(grant.grant_id).url is not None


def test_nothing_replaces_a_role_that_cannot_be_assumed(room, keys, home):
    room.row("d1", None)
    settings = _settings(room, "arn:aws:iam::000000000000:role/none")
    with TenantStorage.open(settings) as storage, pytest.raises(StorageRefused) as refused:
        storage.for_tenant("acme").upload("d1", "a.txt", BytesIO(b"hello"), "text/plain")
    assert refused.value.subject == "role_arn"
    assert "REHOUSE_ROLE_ARN" in refused.value.hint
    assert room.keys(home) == []
