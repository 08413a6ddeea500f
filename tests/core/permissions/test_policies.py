"""The table of rights: nothing too much, nothing unused, and every document within IAM's limits."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.permissions.policies import (
    COMPANION,
    ITS_ACCOUNT,
    MANAGED_POLICY_CHARACTERS,
    ROLES,
    Policy,
    Scope,
    permissions_of,
    places,
    policy_documents,
    size,
)
from rehouse.core.permissions.table import TABLE, Resource, Role

bucket_names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=3, max_size=63)
scopes = st.builds(
    Scope,
    shared_buckets=st.lists(bucket_names, min_size=1, max_size=120, unique=True).map(tuple),
    bucket_prefix=st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=31),
    log_bucket=st.none() | bucket_names,
    region=st.sampled_from(["us-east-1", "cn-north-1"]),
    account=st.none() | st.just("123456789012"),
    kms_key=st.sampled_from([None, "alias/ours", "1234-5678", "arn:aws:kms:us-east-1:1:key/2"]),
    home_buckets=st.lists(bucket_names, max_size=3).map(tuple),
)
SCOPE = Scope(("shared-docs",), "dataroom-saas", "our-logs")


def allowed(role: str, action: str, resource: str) -> bool:
    """What IAM would say: some statement of the role's documents allows it, and none denies it."""
    return said(role, action, resource, SCOPE) == {"Allow"}


def said(role: str, action: str, resource: str, scope: Scope) -> set[str]:
    """The effects of the statements that meet a request of an identity of the account 123456789012."""
    statements = [s for doc in policy_documents([role], scope).values() for s in doc["Statement"]]  # type: ignore[list-item]
    return effects_of(statements, action, resource)


def effects_of(statements: Iterable[Policy], action: str, resource: str) -> set[str]:
    """The effects of the statements that meet a request."""
    return {
        statement["Effect"]
        for statement in statements
        for each in statement["Resource"]
        if action in statement["Action"]
        and fnmatch.fnmatchcase(resource, each.replace("${aws:PrincipalAccount}", "123456789012"))
    }


@given(scopes, st.sampled_from(ROLES))
def test_every_policy_document_is_within_iams_limit(scope: Scope, role: str) -> None:
    documents = policy_documents([role], scope)  # type: ignore[list-item]
    assert all(size(document) <= MANAGED_POLICY_CHARACTERS for document in documents.values())
    granted = {
        (action, resource)
        for document in documents.values()
        for statement in document["Statement"]
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    wanted = {
        (a, arn)
        for row in permissions_of([role, COMPANION.get(role, role)])
        for a in row.actions
        for arn in scope.arns(row.resource)
    }  # type: ignore[list-item]
    assert granted == wanted


@given(scopes, st.sampled_from(ROLES))
def test_statement_ids_are_unique_letters_and_digits(scope: Scope, role: str) -> None:
    for document in policy_documents([role], scope).values():  # type: ignore[list-item]
        sids = [statement["Sid"] for statement in document["Statement"]]
        assert len(set(sids)) == len(sids)
        assert all(sid.isalnum() for sid in sids)


@pytest.mark.parametrize("role", [role for role in ROLES if role not in {"finish", "application"}])
def test_only_finish_and_the_application_delete_documents(role: str) -> None:
    for action in ("s3:DeleteObject", "s3:DeleteObjectVersion"):
        assert not allowed(role, action, "arn:aws:s3:::shared-docs/a")
        assert not allowed(role, action, "arn:aws:s3:::dataroom-saas-acme-a1b2c3d4/a")


@pytest.mark.parametrize("role", ["provision", "migrate", "application", "rollback"])
def test_nobody_but_finish_removes_a_tenants_bucket(role: str) -> None:
    assert not allowed(role, "s3:DeleteBucket", "arn:aws:s3:::dataroom-saas-acme-a1b2c3d4")
    assert not allowed(role, "s3:DeleteBucket", "arn:aws:s3:::dataroom-saas-probe-a1b2c3d4")
    assert not allowed(role, "s3:DeleteBucket", "arn:aws:s3:::shared-docs")


@pytest.mark.parametrize("role", ["provision", "migrate"])
def test_the_migration_never_writes_into_the_shared_bucket(role: str) -> None:
    assert not allowed(role, "s3:PutObject", "arn:aws:s3:::shared-docs/a")
    assert not allowed(role, "s3:PutBucketPolicy", "arn:aws:s3:::shared-docs")


LOG_BUCKETS = ["acme-logs-123456789012", "acme-logs-123456789012-us-east-1-an", "acme-logs", "acme-trail"]


@pytest.mark.parametrize("role", ["application", "migrate", "finish", "rollback"])
@pytest.mark.parametrize("bucket", LOG_BUCKETS)
def test_nobody_writes_or_deletes_in_the_log_bucket(role: str, bucket: str) -> None:
    scope = Scope(("shared-docs",), "acme", "acme-trail" if bucket == "acme-trail" else None)
    told = Scope(("shared-docs",), "acme", scope.log_bucket, account="123456789012")
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload"):
        for each in (scope, told):
            assert said(role, action, f"arn:aws:s3:::{bucket}/2026-11-01", each) in (set(), {"Allow", "Deny"})


CHANGES = [
    "s3:PutBucketPolicy", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration", "s3:PutEncryptionConfiguration",
    "s3:PutBucketPublicAccessBlock", "s3:PutBucketOwnershipControls", "s3:PutBucketTagging", "s3:PutBucketLogging",
    "s3:DeleteBucket", "s3:CreateBucket",
]  # fmt: skip


@pytest.mark.parametrize("role", [role for role in ROLES if role != "log-bucket"])
@pytest.mark.parametrize("bucket", [*LOG_BUCKETS, "logs-acme-123456789012", "logs-acme-123456789012-us-east-1-an"])
def test_no_role_changes_the_log_bucket(role: Role, bucket: str) -> None:
    own = "acme-trail" if bucket == "acme-trail" else None
    for account in ("123456789012", ITS_ACCOUNT, None):
        documents = policy_documents([role], Scope(("shared-docs",), "acme", own, account=account))
        documents.pop("rehouse-log-bucket", None)
        statements = [statement for document in documents.values() for statement in document["Statement"]]
        for action in CHANGES:
            effects = effects_of(statements, action, f"arn:aws:s3:::{bucket}")
            assert effects in (set(), {"Allow", "Deny"}, {"Deny"}), (action, effects)


def test_the_log_bucket_has_a_policy_document_of_its_own() -> None:
    made = policy_documents(["provision"], Scope(("shared-docs",), "acme", account="123456789012"))
    assert list(made) == ["rehouse-provision", "rehouse-log-bucket"]
    resources = {each for statement in made["rehouse-log-bucket"]["Statement"] for each in statement["Resource"]}
    names = ("logs-acme-123456789012", "logs-acme-123456789012-us-east-1-an")
    assert resources == {f"arn:aws:s3:::{name}" for name in names}


@pytest.mark.parametrize("bucket", ["acme-logs-a1b2c3d4", "acme-logs-of-us-a1b2c3d4"])
def test_a_tenant_whose_slug_begins_with_logs_is_a_tenant(bucket: str) -> None:
    assert said("application", "s3:PutObject", f"arn:aws:s3:::{bucket}/a", Scope(("shared-docs",), "acme")) == {"Allow"}


@pytest.mark.parametrize("role", ROLES)
def test_rights_on_buckets_hold_in_one_account_only(role: Role) -> None:
    for account in ("123456789012", ITS_ACCOUNT):
        made = policy_documents([role], replace(SCOPE, account=account)).values()
        for statement in [each for document in made for each in document["Statement"]]:
            if statement["Resource"] != ["*"]:
                assert statement["Condition"] == {"StringEquals": {"aws:ResourceAccount": account}}


def test_a_log_bucket_outside_the_prefix_needs_no_denial() -> None:
    assert "Deny" not in str(policy_documents(ROLES, SCOPE))


def test_it_is_told_which_document_fits_where() -> None:
    shared = tuple(f"{number:02}-" + "s" * 60 for number in range(18))
    scope = Scope(shared, "p" * 31, "l" * 63)
    (small,) = policy_documents(["rollback"], SCOPE).values()
    (large,) = policy_documents(["migrate"], scope).values()
    assert "fits a managed policy (6,144), a role inline (10,240), a user inline (2,048)" in places(small)
    assert places(large).endswith("fits a managed policy (6,144), a role inline (10,240); not a user inline (2,048)")


def test_the_probe_may_remove_what_it_made() -> None:
    assert allowed("provision", "s3:DeleteBucket", "arn:aws:s3:::dataroom-saas--probe-a1b2c3d4")


def test_no_role_has_a_wildcard_action() -> None:
    assert not [action for row in TABLE for action in row.actions if "*" in action]


def test_every_row_says_who_and_why() -> None:
    assert all(row.roles and row.actions and row.why for row in TABLE)


def test_actions_have_iams_names_not_those_of_the_api() -> None:
    actions = {action for row in TABLE for action in row.actions}
    assert not actions & {
        "s3:PutBucketEncryption",
        "s3:HeadBucket",
        "s3:CopyObject",
        "s3:PutBucketLifecycleConfiguration",
    }


def test_without_a_key_nothing_is_said_of_kms() -> None:
    assert "kms" not in str(policy_documents(ROLES, SCOPE))
    assert SCOPE.arns(Resource.KEY) == ()
