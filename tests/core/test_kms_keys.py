"""KMS keys in the policies: by ARN, by alias through its condition, and through S3 alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import botocore.session
import pytest

from rehouse.core.bucket.documents import dns_suffix, partition, tenant_policy
from rehouse.core.permissions.policies import ITS_ACCOUNT, MANAGED_POLICY_CHARACTERS, Scope, policy_documents, size
from rehouse.core.permissions.table import Role

HOME = "arn:aws:kms:eu-west-1:123456789012:key/1111"
SOURCES = ("arn:aws:kms:eu-west-1:999999999999:key/2222", "alias/shared-docs", "33333333-3333-3333-3333-333333333333")
HEADER = "s3:x-amz-server-side-encryption"


def kms_statements(role: Role, **more: Any) -> list[dict[str, Any]]:
    values = {"region": "eu-west-1", "account": "123456789012", "kms_key": HOME, "source_keys": SOURCES, **more}
    made = policy_documents([role], Scope(("shared-docs",), "acme", "our-logs", **values))
    statements = [each for document in made.values() for each in document["Statement"]]
    return [each for each in statements if each["Action"][0].startswith("kms:")]


def by_sid(statements: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["Sid"]: each for each in statements}


def test_migrate_decrypts_sources_by_key_arn_and_alias() -> None:
    found = by_sid(kms_statements("migrate"))
    via = {"kms:ViaService": ["s3.eu-west-1.amazonaws.com"]}
    assert found["SourceKeys"] == {
        "Sid": "SourceKeys",
        "Effect": "Allow",
        "Action": ["kms:Decrypt"],
        "Resource": [
            "arn:aws:kms:eu-west-1:123456789012:key/33333333-3333-3333-3333-333333333333",
            "arn:aws:kms:eu-west-1:999999999999:key/2222",
        ],
        "Condition": {"StringEquals": via},
    }
    assert found["SourceKeysAlias"]["Resource"] == ["arn:aws:kms:eu-west-1:123456789012:key/*"]
    assert found["SourceKeysAlias"]["Condition"] == {
        "StringEquals": via,
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/shared-docs"]},
    }
    assert found["Key"]["Resource"] == [HOME]


@pytest.mark.parametrize(
    ("role", "home", "sources"),
    [
        ("migrate", ["kms:Decrypt", "kms:GenerateDataKey"], ["kms:Decrypt"]),
        ("rollback", ["kms:Decrypt"], ["kms:Decrypt", "kms:GenerateDataKey"]),
        ("finish", ["kms:Decrypt"], ["kms:Decrypt", "kms:GenerateDataKey"]),
        ("application", ["kms:Decrypt", "kms:GenerateDataKey"], ["kms:Decrypt", "kms:GenerateDataKey"]),
    ],
)
def test_each_role_has_what_it_reads_and_writes_under(role: Role, home: list[str], sources: list[str]) -> None:
    found = by_sid(kms_statements(role))
    assert (found["Key"]["Action"], found["SourceKeys"]["Action"]) == (home, sources)


def test_an_alias_of_the_home_s_key_may_be_looked_up_without_s3() -> None:
    found = by_sid(kms_statements("provision", kms_key="alias/ours"))
    assert list(found) == ["KeyAliasAlias"]
    assert found["KeyAliasAlias"]["Action"] == ["kms:DescribeKey"]
    assert found["KeyAliasAlias"]["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": ["alias/ours"]}}
    assert kms_statements("provision") == []


def test_an_alias_is_of_the_own_account_if_none_is_named() -> None:
    found = by_sid(kms_statements("migrate", account=ITS_ACCOUNT, source_keys=("alias/docs",)))
    assert found["SourceKeysAlias"]["Resource"] == ["arn:aws:kms:eu-west-1:*:key/*"]
    assert found["SourceKeysAlias"]["Condition"]["StringEquals"]["aws:ResourceAccount"] == ITS_ACCOUNT


def test_the_service_has_its_partition_s_domain() -> None:
    found = by_sid(kms_statements("migrate", region="cn-north-1", kms_key="alias/ours", source_keys=()))
    assert found["KeyAlias"]["Resource"] == ["arn:aws-cn:kms:cn-north-1:123456789012:key/*"]
    assert found["KeyAlias"]["Condition"]["StringEquals"] == {"kms:ViaService": ["s3.cn-north-1.amazonaws.com.cn"]}


def test_long_names_and_many_keys_stay_within_iams_limit() -> None:
    keys = tuple(f"arn:aws:kms:eu-west-1:123456789012:key/{number:036}" for number in range(70))
    shared = tuple(f"{number:02}-" + "s" * 60 for number in range(70))
    for role in ("migrate", "rollback", "finish", "application"):
        scope = Scope(shared, "p" * 31, "l" * 63, account=ITS_ACCOUNT, source_keys=(*keys, "alias/" + "a" * 200))
        made = policy_documents([role], scope).values()  # type: ignore[list-item]
        assert len(made) > 1
        assert all(size(document) <= MANAGED_POLICY_CHARACTERS for document in made)
        granted = {each for document in made for statement in document["Statement"] for each in statement["Resource"]}
        assert set(keys) <= granted


def test_partitions_and_domains_are_botocore_s() -> None:
    session = botocore.session.get_session()
    resolver = session.get_component("endpoint_resolver")
    for name in session.get_available_partitions():
        for region in session.get_available_regions("s3", partition_name=name):
            assert (partition(region), dns_suffix(region)) == (name, resolver.get_partition_dns_suffix(name)), region


def denied(policy: Any, **headers: str) -> list[str]:
    """The statements of a bucket policy that S3 would refuse an upload with these headers by; a header that is absent is null."""
    sent = {f"s3:{name.replace('_', '-')}": value for name, value in headers.items()}

    def holds(operator: str, key: str, wanted: str) -> bool:
        if operator == "Null":
            return (key not in sent) is (wanted == "true")
        if operator == "StringEquals":
            return sent.get(key) == wanted
        assert operator == "StringNotEquals"
        return sent.get(key) != wanted

    return [
        statement["Sid"]
        for statement in policy["Statement"]
        if all(
            holds(operator, key, value)
            for operator, tests in statement["Condition"].items()
            for key, value in tests.items()
        )
    ]


@pytest.mark.parametrize("key_arn", [HOME, None])
def test_an_upload_under_another_kms_key_is_refused(key_arn: str | None) -> None:
    policy = tenant_policy("home", region="eu-west-1", tls=False, encryption="alias/ours", key_arn=key_arn)
    sse, key = "x_amz_server_side_encryption", "x_amz_server_side_encryption_aws_kms_key_id"
    assert denied(policy) == []
    assert denied(policy, **{sse: "aws:kms", key: HOME}) == []
    assert denied(policy, **{sse: "aws:kms"}) == ["RehouseNoKey"]
    assert denied(policy, **{sse: "AES256"}) == ["RehouseOtherEncryption"]
    assert denied(policy, **{sse: "aws:kms:dsse", key: HOME}) == ["RehouseOtherEncryption"]
    other = denied(policy, **{sse: "aws:kms", key: "arn:aws:kms:eu-west-1:123456789012:key/9999"})
    assert other == (["RehouseOtherKey"] if key_arn else [])


def test_under_sse_s3_nothing_is_said_of_keys() -> None:
    policy = tenant_policy("home", region="eu-west-1", tls=False, encryption="AES256")
    assert denied(policy) == denied(policy, x_amz_server_side_encryption="AES256") == []
    assert "kms" not in str(policy)
