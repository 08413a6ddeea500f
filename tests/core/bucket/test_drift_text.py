"""Drift in words: every setting has its reason, and whatever an endpoint answers becomes lines."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.bucket.documents import LifecycleRules, lifecycle_rules, log_lifecycle_rules, tenant_policy
from rehouse.core.bucket.drift_text import (
    LINES,
    WHY,
    WHY_OF_LOG_RULES,
    WHY_OF_RULES,
    deletes_documents,
    explain_drift,
    reason_of,
)
from rehouse.core.bucket.lifecycle_text import Harm
from rehouse.core.bucket.spec import SETTINGS, Drift

POLICY = tenant_policy("b", region="us-east-1", tls=True, encryption="AES256")
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def differing(setting: str, expected: Any, found: Any) -> tuple[str, ...]:
    return explain_drift(Drift(setting, expected, found, "differs"))


def test_every_setting_matters_for_a_reason() -> None:
    assert set(WHY) == set(SETTINGS)


@given(
    st.sampled_from(SETTINGS),
    documents,
    documents,
    st.sampled_from(["differs", "missing", "not_offered", "unreadable"]),
)
def test_whatever_is_found_becomes_a_few_lines(setting: str, expected: Any, found: Any, kind: Any) -> None:
    lines = explain_drift(Drift(setting, expected, found, kind))
    assert 1 <= len(lines) <= LINES + 1
    assert all(lines)
    assert reason_of(Drift(setting, expected, found, kind))


def test_a_lock_that_is_open_is_named() -> None:
    locks = {"BlockPublicAcls": True, "BlockPublicPolicy": True}
    assert differing("public_access_block", locks, {**locks, "BlockPublicPolicy": False}) == (
        "BlockPublicPolicy is false, must be true",
    )


def test_our_missing_statement_is_told_and_foreign_ones_are_not() -> None:
    found = {"Version": "2012-10-17", "Statement": [*POLICY["Statement"][:-1], {"Sid": "Backup", "Effect": "Allow"}]}
    [line] = differing("policy", POLICY, found)
    assert line.startswith("Statement.RehouseInsecureTransport is missing")


def test_a_statement_in_our_name_that_is_not_ours_is_told() -> None:
    found = {**POLICY, "Statement": [*POLICY["Statement"], {"Sid": "RehouseOpen", "Effect": "Allow"}]}
    [line] = differing("policy", POLICY, found)
    assert "RehouseOpen" in line
    assert line.endswith("must not be there")


def test_a_single_statement_may_stand_without_its_list() -> None:
    lines = differing("policy", POLICY, {"Version": "2012-10-17", "Statement": POLICY["Statement"][0]})
    assert all("OtherEncryption" not in line for line in lines)


def rules(**days: int) -> dict[str, Any]:
    return {"Rules": lifecycle_rules(LifecycleRules(**days))}


def test_a_lifecycle_rule_is_told_by_what_it_does() -> None:
    drift = Drift("lifecycle", rules(), rules(noncurrent_days=3), "differs")
    assert explain_drift(drift) == (
        'the rule "old-versions" deletes every old version 3 days after it was replaced: it must not be there',
        "missing: a rule that deletes every old version 30 days after it was replaced",
    )
    assert reason_of(drift) == WHY_OF_RULES[Harm.DELETES_VERSIONS]
    assert not deletes_documents(drift)


def test_a_rule_that_deletes_documents_says_so_first() -> None:
    purge = {"ID": "purge", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    drift = Drift("lifecycle", rules(), {"Rules": [purge]}, "differs")
    assert explain_drift(drift)[0] == (
        'the rule "purge" deletes every document 1 day after its upload: it must not be there'
    )
    assert reason_of(drift).startswith("S3 deletes documents by this rule")
    assert deletes_documents(drift)


def test_rules_that_are_missing_matter_for_what_they_would_do() -> None:
    for drift in (
        Drift("lifecycle", rules(), None, "missing"),
        Drift("lifecycle", rules(), {"Rules": rules()["Rules"][1:]}, "differs"),
        Drift("lifecycle", rules(), None, "unreadable"),
    ):
        assert reason_of(drift) == WHY["lifecycle"]
        assert not deletes_documents(drift)


def test_a_log_bucket_keeps_no_documents() -> None:
    drift = Drift("lifecycle", {"Rules": log_lifecycle_rules(365)}, {"Rules": log_lifecycle_rules(30)}, "differs")
    assert reason_of(drift) == WHY_OF_LOG_RULES
    assert not deletes_documents(drift)


def test_every_harm_matters_for_a_reason() -> None:
    assert set(WHY_OF_RULES) == set(Harm)


def test_foreign_tags_do_not_count() -> None:
    lines = differing("tags", {"tenant-id": "1"}, {"tenant-id": "2", "team": "a"})
    assert lines == ('tenant-id is "2", must be "1"',)


@pytest.mark.parametrize(("kind", "word"), [("missing", "not set"), ("unreadable", "rights"), ("not_offered", "offer")])
def test_what_is_not_there_is_told(kind: Any, word: str) -> None:
    assert word in explain_drift(Drift("versioning", {"Status": "Enabled"}, None, kind))[0]
