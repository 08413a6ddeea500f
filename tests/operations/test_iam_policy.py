"""The policies that the command prints: for these settings, without a request."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import botocore.session
import pytest

import rehouse
from rehouse.config import Settings
from rehouse.core.errors import ConfigurationError
from rehouse.core.permissions.policies import ROLES
from rehouse.core.permissions.table import TABLE
from rehouse.operations.iam_policy import documents

SETTINGS = Settings(shared_bucket=("shared-docs", "older-docs"), bucket_prefix="acme", encryption="alias/ours")


def test_each_role_has_its_policy_and_only_what_was_asked_for() -> None:
    assert set(documents(SETTINGS, ROLES)) == {f"rehouse-{role}" for role in ROLES}
    assert list(documents(SETTINGS, ["provision"])) == ["rehouse-provision", "rehouse-log-bucket"]
    assert list(documents(SETTINGS, ["finish"])) == ["rehouse-finish"]


def test_the_settings_are_in_the_resources() -> None:
    text = str(documents(SETTINGS, ["migrate"], account="123456789012"))
    for name in ("shared-docs/*", "older-docs/*", "acme-*", ":123456789012:key/*"):
        assert name in text


def test_the_account_is_the_callers_own_on_aws_alone() -> None:
    assert '"aws:ResourceAccount": "${aws:PrincipalAccount}"' in json.dumps(documents(SETTINGS, ROLES))
    elsewhere = SETTINGS.model_copy(update={"endpoint_url": "http://127.0.0.1:9000"})
    assert "ResourceAccount" not in json.dumps(documents(elsewhere, ROLES))
    assert '"aws:ResourceAccount": "123456789012"' in json.dumps(documents(elsewhere, ROLES, "123456789012"))


def test_without_a_shared_bucket_there_is_nothing_to_say() -> None:
    with pytest.raises(ConfigurationError, match="REHOUSE_SHARED_BUCKET"):
        documents(Settings(), ROLES)


ACTIONS = {
    "abort_multipart_upload": "s3:AbortMultipartUpload",
    "complete_multipart_upload": "s3:PutObject",
    "copy_object": "s3:GetObject s3:GetObjectTagging s3:PutObject s3:PutObjectTagging",
    "create_bucket": "s3:CreateBucket s3:TagResource",
    "create_multipart_upload": "s3:PutObject s3:PutObjectTagging",
    "delete_bucket": "s3:DeleteBucket",
    "delete_bucket_metrics_configuration": "s3:PutMetricsConfiguration",
    "delete_object": "s3:DeleteObject s3:DeleteObjectVersion",
    "delete_objects": "s3:DeleteObject s3:DeleteObjectVersion",
    "get_bucket_accelerate_configuration": "s3:GetAccelerateConfiguration",
    "get_bucket_acl": "s3:GetBucketAcl",
    "get_bucket_cors": "s3:GetBucketCORS",
    "get_bucket_encryption": "s3:GetEncryptionConfiguration",
    "get_bucket_lifecycle_configuration": "s3:GetLifecycleConfiguration",
    "get_bucket_logging": "s3:GetBucketLogging",
    "get_bucket_metrics_configuration": "s3:GetMetricsConfiguration",
    "get_bucket_notification_configuration": "s3:GetBucketNotification",
    "get_bucket_ownership_controls": "s3:GetBucketOwnershipControls",
    "get_bucket_policy": "s3:GetBucketPolicy",
    "get_bucket_replication": "s3:GetReplicationConfiguration",
    "get_bucket_tagging": "s3:GetBucketTagging",
    "get_bucket_versioning": "s3:GetBucketVersioning",
    "get_bucket_website": "s3:GetBucketWebsite",
    "get_object": "s3:GetObject",
    "get_object_lock_configuration": "s3:GetBucketObjectLockConfiguration",
    "get_object_tagging": "s3:GetObjectTagging",
    "get_public_access_block": "s3:GetBucketPublicAccessBlock",
    "head_bucket": "s3:ListBucket",
    "head_object": "s3:GetObject",
    "list_bucket_inventory_configurations": "s3:GetInventoryConfiguration",
    "list_buckets": "s3:ListAllMyBuckets",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "list_object_versions": "s3:ListBucketVersions",
    "list_objects_v2": "s3:ListBucket",
    "put_bucket_cors": "s3:PutBucketCORS",
    "put_bucket_encryption": "s3:PutEncryptionConfiguration",
    "put_bucket_lifecycle_configuration": "s3:PutLifecycleConfiguration",
    "put_bucket_logging": "s3:PutBucketLogging",
    "put_bucket_metrics_configuration": "s3:PutMetricsConfiguration",
    "put_bucket_ownership_controls": "s3:PutBucketOwnershipControls",
    "put_bucket_policy": "s3:PutBucketPolicy",
    "put_bucket_tagging": "s3:PutBucketTagging",
    "put_bucket_versioning": "s3:PutBucketVersioning",
    "put_object": "s3:PutObject s3:PutObjectTagging",
    "put_object_tagging": "s3:PutObjectTagging s3:PutObjectVersionTagging",
    "put_public_access_block": "s3:PutBucketPublicAccessBlock",
    "upload_part_copy": "s3:GetObject s3:PutObject",
}
"""Each request of the source → the actions that S3 asks for (the Service Authorization Reference, "Amazon S3")."""
ELSEWHERE = {
    "delete_bucket_policy": "only on servers other than AWS, where a bucket has no policy of ours",
    "get_bucket_location": "only for the sentence of a refusal",
}


def requests_of_the_source() -> set[str]:
    """The S3 operations that the source names, as boto3 calls them."""
    model = botocore.session.get_session().get_service_model("s3")
    operations = {botocore.xform_name(name) for name in model.operation_names}
    found = set()
    package = Path(rehouse.__file__).parent
    for file in package.rglob("*.py"):
        is_ours = {"sandbox", "runtime"}.isdisjoint(
            file.relative_to(package).parts
        )  # runtime's are those of s3/objects
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if is_ours else ():
            match node:
                case ast.Attribute(attr=name) | ast.Constant(value=str(name)) if name in operations:
                    found.add(name)
    return found


def test_every_right_on_s3_is_needed_and_every_need_has_one() -> None:
    assert requests_of_the_source() == ACTIONS.keys() | ELSEWHERE.keys()
    needed = {action for actions in ACTIONS.values() for action in actions.split()}
    ours = [row for row in TABLE if row.roles != ("application",)]
    assert {action for row in ours for action in row.actions if action.startswith("s3:")} == needed
