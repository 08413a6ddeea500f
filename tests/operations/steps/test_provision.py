"""Provision against a real server: the whole BucketSpec, idempotent, nobody else's, finished after a crash."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from rehouse.config import Settings
from rehouse.core.bucket.spec import SETTINGS
from rehouse.core.errors import ConfigurationError, Halt, StorageRefused
from rehouse.core.model import Tenant
from rehouse.core.permissions.policies import Scope, policy_documents
from rehouse.operations.buckets.home_spec import drift
from rehouse.operations.steps.provision import provision_bucket
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server

ACCOUNT = "000000000000"
TENANT = Tenant(7, "acme & söhne", "Acme", None, True)
_numbers = itertools.count(1)


@pytest.fixture
def settings(storage_settings: Settings, bucket: str) -> Settings:
    """Settings with a shared bucket, a prefix of the test's own and an origin."""
    return storage_settings.model_copy(
        update={
            "shared_bucket": (bucket,),
            "bucket_prefix": f"prov-{next(_numbers)}",
            "cors_origins": ("https://app.example.com",),
        }
    )


@pytest.fixture
def control(settings: Settings) -> Control:
    """A control plane that never really waits."""
    return Control(Session(settings), sleep=lambda seconds: None)


@pytest.fixture
def home(settings: Settings) -> str:
    """The name of a tenant bucket that does not exist yet."""
    return f"{settings.bucket_prefix}-acme-a1b2c3d4"


@pytest.fixture
def foreign_bucket(s3_server: S3Server) -> Iterator[str]:
    """A bucket of another account."""
    stranger = boto3.client(
        "s3",
        endpoint_url=s3_server.endpoint_url,
        region_name=s3_server.region,
        aws_access_key_id="111111111111",
        aws_secret_access_key=s3_server._secret,
    )
    name = f"stranger-{next(_numbers)}"
    stranger.create_bucket(Bucket=name)
    yield name
    stranger.delete_bucket(Bucket=name)


def writes(control: Control) -> dict[str, int]:
    """The requests that could change something."""
    return {name: count for name, count in control.requests.items() if name.startswith(("Put", "Create", "Delete"))}


def test_a_new_bucket_is_the_guides(settings: Settings, control: Control, home: str, s3_server: S3Server) -> None:
    report = provision_bucket(settings, control, TENANT, home)
    assert report.created
    given = {"tags", "public_access_block", "ownership", "encryption"}
    assert set(report.changed) | given | {"metrics"} == set(SETTINGS)
    assert report.not_offered == ()
    assert control.requests["PutBucketMetricsConfiguration"] == 0
    root = s3_server.root()
    assert root.get_bucket_versioning(Bucket=home)["Status"] == "Enabled"
    block = root.get_public_access_block(Bucket=home)["PublicAccessBlockConfiguration"]
    assert list(block.values()) == [True] * 4
    rules = root.get_bucket_lifecycle_configuration(Bucket=home)["Rules"]
    by_prefix = [(rule["Filter"].get("Prefix", ""), rule) for rule in rules]
    assert [rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for p, rule in by_prefix if p == "temp/"] == [1]
    assert [rule["Expiration"]["Days"] for p, rule in by_prefix if p == "temp/"] == [1]
    assert {"Days": 90, "StorageClass": "STANDARD_IA"} in [
        t for _, rule in by_prefix for t in rule.get("Transitions", [])
    ]
    cors = root.get_bucket_cors(Bucket=home)["CORSRules"]
    assert [rule["AllowedOrigins"] for rule in cors] == [["https://app.example.com"]]
    tags = {tag["Key"]: tag["Value"] for tag in root.get_bucket_tagging(Bucket=home)["TagSet"]}
    assert tags == {"tenant-id": "7", "tenant-slug": "acme - söhne"}
    logging = root.get_bucket_logging(Bucket=home)["LoggingEnabled"]
    assert (logging["TargetBucket"], logging["TargetPrefix"]) == (
        f"logs-{settings.bucket_prefix}-{ACCOUNT}",
        f"{home}/",
    )


def test_the_log_bucket_lets_only_s3s_log_delivery_in(
    settings: Settings, control: Control, home: str, s3_server: S3Server
) -> None:
    provision_bucket(settings, control, TENANT, home)
    log_bucket = f"logs-{settings.bucket_prefix}-{ACCOUNT}"
    policy = json.loads(s3_server.root().get_bucket_policy(Bucket=log_bucket)["Policy"])
    (delivery,) = [each for each in policy["Statement"] if each["Effect"] == "Allow"]
    assert delivery["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert delivery["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


def test_a_new_bucket_takes_at_most_18_requests(settings: Settings, control: Control, home: str) -> None:
    provision_bucket(settings, control, TENANT, home)
    before = control.requests.total()
    provision_bucket(settings, control, TENANT, home + "2")
    assert control.requests.total() - before <= 18


def test_what_a_new_bucket_is_from_the_start_is_not_written(settings: Settings, control: Control, home: str) -> None:
    report = provision_bucket(settings, control, TENANT, home)
    assert set(report.changed).isdisjoint({"public_access_block", "ownership", "encryption"})
    written = writes(control)
    assert written.keys().isdisjoint({"PutPublicAccessBlock", "PutBucketOwnershipControls", "PutBucketEncryption"})
    kinds = {each.setting: each.kind for each in drift(settings, control, TENANT, home)}
    assert set(kinds.values()) <= {"not_offered"}


def test_a_new_bucket_that_is_not_as_it_must_be_is_written(settings: Settings, control: Control, home: str) -> None:
    encrypted = settings.model_copy(update={"encryption": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234"})
    assert "encryption" in provision_bucket(encrypted, control, TENANT, home).changed


def test_a_second_time_sends_reads_only(settings: Settings, control: Control, home: str) -> None:
    provision_bucket(settings, control, TENANT, home)
    again = Control(Session(settings), sleep=lambda seconds: None)
    report = provision_bucket(settings, again, TENANT, home)
    assert (report.created, report.changed, report.not_offered) == (False, (), ())
    assert writes(again) == {}


@pytest.mark.parametrize("done", [0, 1, 4, 7])
def test_what_a_crash_left_half_made_is_finished(settings: Settings, control: Control, home: str, done: int) -> None:
    class Crash(BaseException):
        pass

    class Crashing(Control):
        def apply(self, bucket: str, setting: str, document: object) -> bool:
            if bucket == home and list(SETTINGS).index(setting) >= done:
                raise Crash
            return super().apply(bucket, setting, document)

    with pytest.raises(Crash):
        provision_bucket(settings, Crashing(Session(settings), sleep=lambda seconds: None), TENANT, home)
    report = provision_bucket(settings, control, TENANT, home)
    assert not report.created
    assert drift(settings, control, TENANT, home) == ()


def test_drift_is_put_right_and_foreign_settings_stay(
    settings: Settings, control: Control, home: str, s3_server: S3Server
) -> None:
    provision_bucket(settings, control, TENANT, home)
    root = s3_server.root()
    root.put_bucket_versioning(Bucket=home, VersioningConfiguration={"Status": "Suspended"})
    root.put_bucket_tagging(Bucket=home, Tagging={"TagSet": [{"Key": "cost-centre", "Value": "42"}]})
    reader = {"Sid": "Backup", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/backup"}}
    statement = {**reader, "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{home}/*"}
    root.put_bucket_policy(Bucket=home, Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    kinds = {each.setting: each.kind for each in drift(settings, control, TENANT, home)}
    assert kinds == {"policy": "differs", "versioning": "differs", "tags": "differs"}
    assert set(provision_bucket(settings, control, TENANT, home).changed) == {"policy", "versioning", "tags"}
    tags = {tag["Key"]: tag["Value"] for tag in root.get_bucket_tagging(Bucket=home)["TagSet"]}
    assert tags == {"tenant-id": "7", "tenant-slug": "acme - söhne", "cost-centre": "42"}
    sids = [each["Sid"] for each in json.loads(root.get_bucket_policy(Bucket=home)["Policy"])["Statement"]]
    assert "Backup" in sids
    assert len(sids) > 1


def test_a_bucket_of_another_account_is_never_used(settings: Settings, control: Control, foreign_bucket: str) -> None:
    with pytest.raises(StorageRefused, match=foreign_bucket) as refusal:
        provision_bucket(settings, control, TENANT, foreign_bucket)
    assert refusal.value.code == "BucketAlreadyExists"
    assert writes(control) == {}


def test_a_shared_bucket_is_no_home(settings: Settings, control: Control) -> None:
    with pytest.raises(Halt):
        provision_bucket(settings, control, TENANT, settings.shared_bucket[0])
    assert control.requests.total() == 0


def test_a_setting_that_does_not_stay_halts(settings: Settings, home: str) -> None:
    class Forgetful(Control):
        def apply(self, bucket: str, setting: str, document: object) -> bool:
            return (bucket == home and setting == "lifecycle") or super().apply(bucket, setting, document)

    with pytest.raises(Halt, match=rf"{home}.*lifecycle"):
        provision_bucket(settings, Forgetful(Session(settings), sleep=lambda seconds: None), TENANT, home)


def test_origins_come_from_the_shared_bucket_without_a_star(settings: Settings, home: str, s3_server: S3Server) -> None:
    origins = ["https://old.example.com", "*", "https://slash.example.com/"]
    rule = {"AllowedMethods": ["PUT"], "AllowedOrigins": origins}
    s3_server.root().put_bucket_cors(Bucket=settings.shared_bucket[0], CORSConfiguration={"CORSRules": [rule]})  # type: ignore[typeddict-item]
    settings = settings.model_copy(update={"cors_origins": ()})
    report = provision_bucket(settings, Control(Session(settings)), TENANT, home)
    assert any("*" in note for note in report.notes)
    assert any(note.endswith("write https://slash.example.com") for note in report.notes)
    (rule,) = s3_server.root().get_bucket_cors(Bucket=home)["CORSRules"]  # type: ignore[assignment]
    assert rule["AllowedOrigins"] == ["https://old.example.com"]


def test_without_origins_there_is_no_cors_rule_and_it_says_so(
    settings: Settings, home: str, s3_server: S3Server
) -> None:
    settings = settings.model_copy(update={"cors_origins": ()})
    report = provision_bucket(settings, Control(Session(settings)), TENANT, home)
    assert any("REHOUSE_CORS_ORIGINS" in note for note in report.notes)
    with pytest.raises(ClientError, match="NoSuchCORSConfiguration"):
        s3_server.root().get_bucket_cors(Bucket=home)


def test_logs_into_the_shared_bucket_are_refused(settings: Settings, home: str) -> None:
    control, one = Control(Session(settings)), "the-shared-one"
    with pytest.raises(ConfigurationError):
        provision_bucket(
            settings.model_copy(update={"log_bucket": one, "shared_bucket": (one,)}), control, TENANT, home
        )
    assert writes(control) == {}


def test_somebodys_log_bucket_keeps_its_own_configuration(
    settings: Settings, home: str, s3_server: S3Server, bucket: str
) -> None:
    root = s3_server.root()
    log_bucket = f"{settings.bucket_prefix}-our-own-logs"
    root.create_bucket(Bucket=log_bucket)
    root.put_bucket_tagging(Bucket=log_bucket, Tagging={"TagSet": [{"Key": "team", "Value": "security"}]})
    before = root.get_bucket_ownership_controls(Bucket=log_bucket)["OwnershipControls"]
    settings = settings.model_copy(update={"log_bucket": log_bucket})
    provision_bucket(settings, Control(Session(settings)), TENANT, home)
    assert root.get_bucket_logging(Bucket=home)["LoggingEnabled"]["TargetBucket"] == log_bucket
    assert root.get_bucket_tagging(Bucket=log_bucket)["TagSet"] == [{"Key": "team", "Value": "security"}]
    assert root.get_bucket_ownership_controls(Bucket=log_bucket)["OwnershipControls"] == before
    assert "logging.s3.amazonaws.com" in root.get_bucket_policy(Bucket=log_bucket)["Policy"]


def test_the_log_bucket_forgets_after_its_own_days(
    settings: Settings, control: Control, home: str, s3_server: S3Server
) -> None:
    provision_bucket(settings, control, TENANT, home)
    rules = s3_server.root().get_bucket_lifecycle_configuration(Bucket=f"logs-{settings.bucket_prefix}-{ACCOUNT}")[
        "Rules"
    ]
    assert [(rule["Filter"]["Prefix"], rule["Expiration"]) for rule in rules] == [("", {"Days": 365})]


@pytest.mark.parametrize("fault", ["kms", "retention"])
def test_an_unfit_log_bucket_is_named_before_anything_is_made(
    settings: Settings, control: Control, home: str, s3_server: S3Server, fault: str
) -> None:
    root, logs = s3_server.root(), f"our-logs-of-{settings.bucket_prefix}"
    root.create_bucket(Bucket=logs, ObjectLockEnabledForBucket=fault == "retention")
    if fault == "kms":
        by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/ours"}
        rules = [{"ApplyServerSideEncryptionByDefault": by_default}]
        root.put_bucket_encryption(Bucket=logs, ServerSideEncryptionConfiguration={"Rules": rules})  # type: ignore[typeddict-item]
    else:
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        root.put_object_lock_configuration(Bucket=logs, ObjectLockConfiguration=lock)  # type: ignore[arg-type]
    named = "aws:kms: S3 delivers logs under SSE-S3 only" if fault == "kms" else "default retention of Object Lock"
    with pytest.raises(StorageRefused, match=named):
        provision_bucket(settings.model_copy(update={"log_bucket": logs}), control, TENANT, home)
    assert writes(control) == {}


def test_uploads_need_no_encryption_header_but_no_other_one(
    settings: Settings, control: Control, home: str, s3_server: S3Server
) -> None:
    provision_bucket(settings, control, TENANT, home)
    client = control.client
    client.put_object(Bucket=home, Key="documents/1/a.txt", Body=b"plain")
    client.put_object(Bucket=home, Key="documents/1/a.txt", Body=b"ours", ServerSideEncryption="AES256")
    with pytest.raises(ClientError, match="AccessDenied"):
        client.put_object(Bucket=home, Key="documents/1/a.txt", Body=b"other", ServerSideEncryption="aws:kms")


def test_tenants_provisioned_in_parallel_share_a_log_bucket(
    settings: Settings, control: Control, s3_server: S3Server
) -> None:
    names = [f"{settings.bucket_prefix}-side-{number}-a1b2c3d4" for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda name: provision_bucket(settings, control, TENANT, name), names))
    assert [report.bucket for report in reports] == names
    assert control.requests["CreateBucket"] == len(names) + 1
    made = {each["Name"] for each in s3_server.root().list_buckets(Prefix=settings.bucket_prefix + "-")["Buckets"]}
    assert made == set(names)


@pytest.mark.parametrize(
    "change",
    [
        {"encryption": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1234"},
        {"encryption": "alias/ours"},
        {"region": "eu-central-1"},
        {"bucket_namespace": "account-regional"},
    ],
)
def test_other_settings_are_provisioned_and_kept_as_well(settings: Settings, change: dict[str, object]) -> None:
    settings = settings.model_copy(update=change)
    name = f"{settings.bucket_prefix}-a1b2c3d4-{ACCOUNT}-{settings.region}-an"
    report = provision_bucket(settings, Control(Session(settings), sleep=lambda seconds: None), TENANT, name)
    assert (report.created, report.not_offered) == (True, ())
    again = Control(Session(settings))
    assert provision_bucket(settings, again, TENANT, name).changed == ()
    assert writes(again) == {}


def test_the_bucket_policy_names_the_key_behind_an_alias(
    settings: Settings, home: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", s3_server.endpoint_url)
    root = s3_server._client("kms", "test", s3_server._secret)
    key = root.create_key()["KeyMetadata"]
    root.create_alias(AliasName="alias/homes", TargetKeyId=key["KeyId"])
    settings = settings.model_copy(update={"encryption": "alias/homes"})
    with pytest.raises(StorageRefused, match=r"alias/homes.*may not be looked up"):
        provision_bucket(settings, Control(Session(settings)), TENANT, home)
    documents = policy_documents(
        ["provision", "migrate"], Scope(settings.shared_bucket, settings.bucket_prefix, kms_key="alias/homes")
    )
    for document in documents.values():
        for statement in document["Statement"]:
            if statement["Sid"].startswith(
                "Key"
            ):  # this server knows no kms:ResourceAliases, and asks for the alias itself
                statement.update(Condition={}, Resource="*")
    access_key, secret_key = s3_server.user(f"{settings.bucket_prefix}-kms", documents)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
    provision_bucket(settings, Control(Session(settings), sleep=lambda seconds: None), TENANT, home)
    policy = json.loads(s3_server.root().get_bucket_policy(Bucket=home)["Policy"])
    (other,) = [each for each in policy["Statement"] if each["Sid"] == "RehouseOtherKey"]
    assert other["Condition"]["StringNotEquals"] == {"s3:x-amz-server-side-encryption-aws-kms-key-id": key["Arn"]}


def test_request_metrics_are_written_only_where_they_are_wanted(settings: Settings, home: str) -> None:
    control = Control(Session(settings), sleep=lambda seconds: None)
    report = provision_bucket(settings.model_copy(update={"request_metrics": True}), control, TENANT, home)
    assert report.not_offered == ("metrics",)  # by this server
    assert control.requests["PutBucketMetricsConfiguration"] == 1


def test_a_protected_bucket_that_takes_no_upload_ends_the_run(
    settings: Settings, home: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A user who may not upload meets what a server does that refuses every upload into such a bucket.
    documents = policy_documents(["provision"], Scope(settings.shared_bucket, settings.bucket_prefix))
    access_key, secret_key = s3_server.user(f"{settings.bucket_prefix}-no-uploads", documents)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)
    for _ in range(2):
        with pytest.raises(StorageRefused, match=home) as refusal:
            provision_bucket(settings, Control(Session(settings)), TENANT, home)
        assert "REHOUSE_S3_DIALECT" in refusal.value.hint
    assert s3_server.root().get_public_access_block(Bucket=home)["PublicAccessBlockConfiguration"]["BlockPublicAcls"]


def test_uploads_are_tried_once_and_nothing_is_left(
    settings: Settings, control: Control, home: str, s3_server: S3Server
) -> None:
    for name in (home, home + "2", home):
        provision_bucket(settings, control, TENANT, name)
    assert control.requests["PutObject"] == 1
    assert "Contents" not in s3_server.root().list_objects_v2(Bucket=home)
    again = Control(Session(settings))
    provision_bucket(settings, again, TENANT, home)
    assert again.requests["PutObject"] == 0


def test_a_home_in_another_region_is_refused(settings: Settings, control: Control, home: str) -> None:
    provision_bucket(settings, control, TENANT, home)
    elsewhere = settings.model_copy(update={"region": "eu-central-1"})
    with pytest.raises(StorageRefused, match="us-east-1") as refusal:
        provision_bucket(elsewhere, Control(Session(elsewhere)), TENANT, home)
    assert f"delete-bucket --bucket {home} --region us-east-1" in refusal.value.hint


def test_an_endpoint_in_the_profile_alone_counts_for_the_policy(
    settings: Settings, home: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").write_text(f"[default]\nendpoint_url = {s3_server.endpoint_url}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    elsewhere = settings.model_copy(update={"endpoint_url": None})
    provision_bucket(elsewhere, Control(Session(elsewhere)), TENANT, home)
    assert "SecureTransport" not in s3_server.root().get_bucket_policy(Bucket=home)["Policy"]
