"""What Ceph lacks or misreads: said in time where nobody told, left out where REHOUSE_S3_DIALECT tells, and audited so."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from tests.support.data_room import Room

from rehouse import config
from rehouse.core.errors import StorageRefused
from rehouse.core.model import Tenant
from rehouse.operations.steps import provision
from rehouse.operations.steps.provision import provision_bucket
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

POLICY = {"Sid": "Reader", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject"}
PROBED = "probe: objects"


@pytest.fixture(scope="module")
def room(new_room: Callable[..., Room]) -> Room:
    """One tenant with a few documents."""
    made = new_room("integer")
    made.lay_out(3)
    return made


def test_without_the_dialect_nobody_is_cut_over(new_room: Callable[..., Room]) -> None:
    room = new_room("integer")
    room.lay_out(3)
    refused = room.run("migrate", "a", REHOUSE_S3_DIALECT="aws")
    assert refused.returncode != 0
    assert "REHOUSE_S3_DIALECT=ceph" in refused.stdout + refused.stderr
    assert room.rows("SELECT aws_bucket_name FROM tenants") == [(None,)]
    done = room.run("migrate", "a")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("is_foreign", [True, False])
def test_a_bucket_that_was_in_use_takes_uploads_again(
    room: Room, new_room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch, is_foreign: bool
) -> None:
    room, root = new_room("integer"), room.server.root()
    home, foreign = f"{room.prefix}-in-use", {**POLICY, "Resource": f"arn:aws:s3:::{room.prefix}-in-use/*"}
    root.create_bucket(Bucket=home)
    if is_foreign:
        root.put_bucket_policy(Bucket=home, Policy=json.dumps({"Version": "2012-10-17", "Statement": [foreign]}))
    for name, value in room.environment().items():
        monkeypatch.setenv(name, value)
    settings = config.load().model_copy(update={"s3_dialect": "aws"})
    control = Control(Session(settings))
    monkeypatch.setattr(provision, "_provision_log_bucket", lambda *_, **__: None)  # its policy would be refused first
    with pytest.raises(StorageRefused, match="refuses uploads"):
        provision_bucket(settings, control, Tenant(1, "a", "a", None, True), home)
    root.put_object(Bucket=home, Key="documents/1/new.txt", Body=b"still taken")
    if is_foreign:
        [left] = json.loads(root.get_bucket_policy(Bucket=home)["Policy"])["Statement"]
        assert left["Sid"] == "Reader"


def test_doctor_tells_the_same(room: Room) -> None:
    told = {
        each["subject"]: each for each in room.json("doctor", "--probe", status=1, REHOUSE_S3_DIALECT="aws")["checks"]
    }
    assert told[PROBED]["outcome"] == "failed"
    assert "REHOUSE_S3_DIALECT=ceph" in told[PROBED]["hint"]
    told = {each["subject"]: each for each in room.json("doctor", "--probe", status=1)["checks"]}
    failed = [subject for subject, each in told.items() if each["outcome"] == "failed"]
    assert failed == ["probe: conditions on the source"], "Ceph ignores them"
    assert told["probe: removal"]["outcome"] == "ok"


def test_with_the_dialect_the_application_can_upload(room: Room) -> None:
    assert room.run("migrate", "a").returncode == 0
    report = room.json("audit")
    assert report["is_well"], report
    assert report["not_offered"] == []
    root, home = room.server.root(), room.rows("SELECT aws_bucket_name FROM tenants")[0][0]
    root.put_object(Bucket=home, Key="documents/new/new.txt", Body=b"new")
    assert root.get_bucket_versioning(Bucket=home)["Status"] == "Enabled"
    locks = root.get_public_access_block(Bucket=home)["PublicAccessBlockConfiguration"]
    assert [name for name, is_on in locks.items() if not is_on] == ["BlockPublicAcls"]
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        root.get_bucket_policy(Bucket=home)


def test_a_bucket_closed_in_vain_takes_uploads_again(new_room: Callable[..., Room]) -> None:
    room = new_room("integer")
    room.lay_out(2)
    assert room.run("migrate", "a").returncode == 0
    root, home = room.server.root(), room.rows("SELECT aws_bucket_name FROM tenants")[0][0]
    assert room.run("rollback", "a").returncode == 0
    root.put_object(Bucket=home, Key="unknown", Body=b"unknown")
    refused = room.run("rollback", "a", "--drop-bucket", "--yes", REHOUSE_GRACE_DAYS="0")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    with pytest.raises(ClientError, match="AccessDenied"):
        root.put_object(Bucket=home, Key="documents/late/late.txt", Body=b"late")
    assert room.run("migrate", "a").returncode == 0
    assert room.rows("SELECT aws_bucket_name FROM tenants") == [(home,)]
    root.put_object(Bucket=home, Key="documents/new/new.txt", Body=b"new")
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        root.get_bucket_policy(Bucket=home)


def test_drift_is_found_and_fixed_here_too(room: Room) -> None:
    assert room.run("migrate", "a").returncode == 0
    root, home = room.server.root(), room.rows("SELECT aws_bucket_name FROM tenants")[0][0]
    root.put_bucket_versioning(Bucket=home, VersioningConfiguration={"Status": "Suspended"})
    [finding] = room.json("audit", status=1)["findings"]
    assert finding["setting"] == "versioning"
    assert room.json("audit", "--fix")["findings"][0]["is_fixed"]
    assert room.json("audit")["findings"] == []


def test_tags_that_cannot_be_read_are_one_documents_fault(
    new_room: Callable[..., Room],
) -> None:
    room = new_room("integer")
    room.lay_out(2)
    root, place = room.server.root(), {"Bucket": room.shared, "Key": "k/0"}
    upload = {**place, "UploadId": root.create_multipart_upload(**place, Tagging="a=b")["UploadId"]}
    part = {"PartNumber": 1, "ETag": root.upload_part(**upload, PartNumber=1, Body=b"more than one byte")["ETag"]}
    root.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    in_parts = {"REHOUSE_MULTIPART_THRESHOLD_BYTES": "1", "REHOUSE_MULTIPART_PART_BYTES": "5242880"}
    [tenant] = room.json("migrate", "a", status=1, **in_parts)["tenants"]
    assert [(each["document_id"], each["code"]) for each in tenant["outstanding"]] == [("0", "TagsUnreadable")]
    assert room.rows("SELECT s3_bucket FROM documents WHERE id = '0'") in ([(None,)], [(room.shared,)])
