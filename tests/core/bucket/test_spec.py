"""The specification of a bucket: what it holds, and that a difference is seen exactly where there is one."""

from __future__ import annotations

import copy
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.bucket.documents import partition, tag_value
from rehouse.core.bucket.normal_form import normalise
from rehouse.core.bucket.spec import (
    LACKING,
    SETTINGS,
    BucketSpec,
    LifecycleRules,
    SettingState,
    differences,
    log_bucket_spec,
    matches,
    merge_documents,
    restrict_to_dialect,
    spec_for,
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=3, max_size=30)
specs = st.builds(
    spec_for,
    names,
    tenant_id=st.integers() | st.uuids(),
    tenant_slug=st.text(max_size=300),
    region=st.sampled_from(["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1"]),
    tls=st.booleans(),
    encryption=st.sampled_from(["AES256", "arn:aws:kms:eu-central-1:123456789012:key/1", "alias/ours"]),
    lifecycle=st.builds(LifecycleRules, *[st.integers(1, 3650)] * 4),
    cors_origins=st.lists(st.sampled_from(["https://a.example", "https://b.example"])),
    log_bucket=st.none() | names,
    request_metrics=st.booleans(),
    dialect=st.sampled_from(["aws", "ceph"]),
)


def as_found(spec: BucketSpec) -> dict[str, SettingState]:
    return {setting: SettingState("set", document) for setting, document in spec.documents().items()}


def as_s3_answers(value: object, order: random.Random) -> object:
    """The same document as S3 might answer it: lists of strings in another order or, with one member, none."""
    if isinstance(value, dict):
        return {key: as_s3_answers(inner, order) for key, inner in value.items()}
    if isinstance(value, list):
        answered = [as_s3_answers(inner, order) for inner in value]
        order.shuffle(answered)
        return answered
    return value


@given(specs)
def test_a_bucket_that_is_as_specified_has_no_drift(spec: BucketSpec) -> None:
    assert differences(spec, as_found(spec)) == ()


@given(specs, st.randoms(use_true_random=False))
def test_the_order_of_lists_is_no_drift(spec: BucketSpec, order: random.Random) -> None:
    answered = {setting: SettingState("set", as_s3_answers(doc, order)) for setting, doc in spec.documents().items()}
    assert differences(spec, answered) == ()


@given(specs, st.sampled_from(SETTINGS), st.sampled_from(["absent", "not_offered", "unreadable"]))
def test_each_state_has_its_kind_and_only_its_setting(spec: BucketSpec, setting: str, state: str) -> None:
    found = {**as_found(spec), setting: SettingState(state, code="X")}  # type: ignore[arg-type]
    kinds = {drift.setting: drift.kind for drift in differences(spec, found)}
    wanted = setting in spec.documents()
    assert kinds == ({setting: "missing" if state == "absent" else state} if wanted else {})


@given(specs, specs)
def test_two_buckets_are_alike_in_both_directions_or_in_none(one: BucketSpec, other: BucketSpec) -> None:
    for setting in set(one.documents()) & set(other.documents()):
        first, second = one.documents()[setting], other.documents()[setting]
        assert matches(setting, first, second) == matches(setting, second, first)


@given(st.sampled_from(SETTINGS), json_values)
def test_no_answer_whatever_breaks_the_comparison(setting: str, answer: object) -> None:
    normalise(setting, answer)
    spec = spec_for(
        "b-1", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True, cors_origins=["https://a"], log_bucket="l",
        request_metrics=True,
    )  # fmt: skip
    assert differences(spec, {**as_found(spec), setting: SettingState("set", answer)})


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("public_access_block", ["RestrictPublicBuckets"], False),
        ("ownership", ["Rules", 0, "ObjectOwnership"], "ObjectWriter"),
        ("encryption", ["Rules", 0, "ApplyServerSideEncryptionByDefault", "SSEAlgorithm"], "aws:kms"),
        ("versioning", ["Status"], "Suspended"),
        ("lifecycle", ["Rules", 0, "NoncurrentVersionExpiration", "NoncurrentDays"], 31),
        ("lifecycle", ["Rules", 2, "Filter", "Prefix"], ""),
        ("lifecycle", ["Rules", 2, "Status"], "Disabled"),
        ("cors", ["CORSRules", 0, "AllowedOrigins"], ["*"]),
        ("cors", ["CORSRules", 0, "AllowedMethods"], ["GET"]),
        ("policy", ["Statement", 0, "Effect"], "Allow"),
        ("policy", ["Statement", 0, "Condition"], {}),
        ("policy", ["Statement", 0, "Resource"], "arn:aws:s3:::other/*"),
        ("logging", ["TargetPrefix"], "elsewhere/"),
        ("logging", ["TargetObjectKeyFormat"], {"SimplePrefix": {}}),
        ("tags", ["tenant-id"], "2"),
        ("metrics", ["Id"], "Other"),
    ],
)
def test_a_changed_value_is_drift(setting: str, path: list[str | int], value: object) -> None:
    spec = spec_for(
        "b-1", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True, cors_origins=["https://a"], log_bucket="l",
        request_metrics=True,
    )  # fmt: skip
    changed = copy.deepcopy(spec.documents()[setting])
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    (drift,) = differences(spec, {**as_found(spec), setting: SettingState("set", changed)})
    assert (drift.setting, drift.kind) == (setting, "differs")


def test_what_s3_adds_to_its_answers_is_no_drift() -> None:
    spec = spec_for("b-1", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True)
    answers = as_found(spec)
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
    answers["encryption"] = SettingState(
        "set", {"Rules": [{**rule, "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]}}]}
    )
    answers["versioning"] = SettingState("set", {"Status": "Enabled", "MFADelete": "Disabled"})
    answers["tags"] = SettingState("set", {**spec.documents()["tags"], "cost-centre": "42"})
    lifecycle = copy.deepcopy(spec.documents()["lifecycle"])
    lifecycle["Rules"][0]["Filter"] = {}
    del lifecycle["Rules"][1]["Filter"]
    lifecycle["Rules"][1]["Prefix"] = ""
    answers["lifecycle"] = SettingState("set", lifecycle)
    policy = copy.deepcopy(spec.documents()["policy"])
    for statement in policy["Statement"]:
        statement["Action"] = [statement["Action"]]
        statement["Principal"] = {"AWS": "*"}
    answers["policy"] = SettingState("set", policy)
    assert differences(spec, answers) == ()


def test_a_lifecycle_rule_of_somebody_else_is_drift() -> None:
    spec = spec_for("b-1", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True)
    foreign = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": "documents/"}, "Expiration": {"Days": 1}}
    rules = [*spec.documents()["lifecycle"]["Rules"], foreign]
    (drift,) = differences(spec, {**as_found(spec), "lifecycle": SettingState("set", {"Rules": rules})})
    assert drift.setting == "lifecycle"


@given(specs, st.sampled_from(SETTINGS), json_values)
def test_what_is_written_is_what_is_wanted(spec: BucketSpec, setting: str, before: object) -> None:
    if setting not in spec.documents() or (setting in {"tags", "policy"} and not isinstance(before, dict)):
        return
    if setting == "policy":
        before = {"Statement": before}
    assert matches(setting, spec.documents()[setting], merge_documents(setting, spec.documents()[setting], before))


def test_foreign_tags_and_statements_are_kept_and_ours_replaced() -> None:
    spec = spec_for("b-1", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True)
    assert merge_documents("tags", spec.tags, {"tenant-id": "9", "team": "x"}) == {
        "tenant-id": "1",
        "tenant-slug": "a",
        "team": "x",
    }
    before = {"Statement": [{"Sid": "Backup"}, {"Sid": "RehouseOld"}]}
    sids = [statement["Sid"] for statement in merge_documents("policy", spec.policy, before)["Statement"]]
    assert sids[0] == "Backup"
    assert "RehouseOld" not in sids


def test_the_policy_refuses_other_values_but_no_missing_header() -> None:
    for encryption in ("AES256", "arn:aws:kms:eu-central-1:123456789012:key/1"):
        spec = spec_for("b", tenant_id=1, tenant_slug="a", region="us-east-1", tls=False, encryption=encryption)
        for statement in spec.documents()["policy"]["Statement"]:
            assert statement["Effect"] == "Deny"
            header = statement["Condition"].get("StringEquals")  # a header that has to be there, with this value
            assert header or set(statement["Condition"]["Null"].values()) == {"false"}


@pytest.mark.parametrize("tls", [True, False])
def test_tls_is_demanded_only_where_there_is_tls(tls: bool) -> None:
    for spec in (
        spec_for("b", tenant_id=1, tenant_slug="a", region="us-east-1", tls=tls),
        log_bucket_spec("l", sources="p-", account=None, region="us-east-1", tls=tls),
    ):
        assert ("aws:SecureTransport" in str(spec.policy)) is tls


def test_a_bucket_never_logs_to_itself() -> None:
    spec = spec_for("b", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True, log_bucket="b")
    assert "logging" not in spec.documents()


def test_temporary_files_go_with_their_versions() -> None:
    spec = spec_for("b", tenant_id=1, tenant_slug="a", region="us-east-1", tls=True)
    (rule,) = [rule for rule in spec.documents()["lifecycle"]["Rules"] if rule["Filter"]["Prefix"] == "temp/"]
    assert (rule["Expiration"], rule["NoncurrentVersionExpiration"]) == ({"Days": 1}, {"NoncurrentDays": 1})


def test_public_access_is_blocked_before_anything_else() -> None:
    assert SETTINGS[:3] == ("public_access_block", "ownership", "policy")


@given(st.text(max_size=400))
def test_every_tag_value_is_one_that_s3_takes(text: str) -> None:
    value = tag_value(text)
    assert len(value) <= 256
    assert not value.lower().startswith("aws:")
    assert all(char.isalpha() or char.isdecimal() or char in " +-=._:/@" for char in value)


@pytest.mark.parametrize(
    ("region", "expected"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
def test_the_partition_follows_the_region(region: str, expected: str) -> None:
    assert partition(region) == expected


@given(specs)
def test_ceph_goes_without_what_it_lacks_and_keeps_three_locks(spec: BucketSpec) -> None:
    ceph = restrict_to_dialect(spec, "ceph")
    assert set(ceph.documents()) == set(spec.documents()) - LACKING["ceph"]
    assert [name for name, is_on in ceph.public_access_block.items() if not is_on] == ["BlockPublicAcls"]  # type: ignore[union-attr]
    assert restrict_to_dialect(spec, "aws") == spec
    assert restrict_to_dialect(ceph, "ceph") == ceph
