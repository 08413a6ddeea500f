"""The session policy names one bucket and nothing else, and fits into a request to STS."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.permissions.session_policy import (
    LONGEST_NAME,
    MOST_CHARACTERS,
    as_text,
    session_arn,
    session_name,
    session_policy,
)

LONGEST_BUCKET = "b" * 63
KEYS = [None, "alias/docs", "arn:aws-us-gov:kms:us-gov-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1"])
def test_a_policy_fits_and_names_one_bucket(region: str, key: str | None) -> None:
    policy = session_policy(LONGEST_BUCKET, region=region, encryption=key)
    assert len(as_text(policy)) <= MOST_CHARACTERS
    assert json.loads(as_text(policy)) == policy
    of_s3 = [each for each in policy["Statement"] if str(each["Resource"]).find(":s3:::") > 0]
    assert [each["Resource"].rpartition(":")[2] for each in of_s3] == [LONGEST_BUCKET, f"{LONGEST_BUCKET}/*"]
    assert {each["Effect"] for each in policy["Statement"]} == {"Allow"}
    others = [each for each in policy["Statement"] if each not in of_s3]
    assert all(action.startswith("kms:") for each in others for action in each["Action"])
    assert bool(others) == (key is not None)


def test_no_action_is_a_pattern_or_changes_the_bucket() -> None:
    actions = {action for each in session_policy("b", region="us-east-1")["Statement"] for action in each["Action"]}
    assert {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"} <= actions
    assert not any(
        "*" in action or re.search("Bucket(Policy|Acl)|DeleteBucket|Configuration", action) for action in actions
    )


@given(st.integers() | st.text(min_size=1))
def test_a_name_is_one_that_sts_accepts(tenant_id: int | str) -> None:
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", session_name(tenant_id), re.ASCII)
    assert len(session_name(tenant_id)) <= LONGEST_NAME


def test_an_arn_of_another_partition_keeps_it() -> None:
    found = session_arn("arn:aws-cn:iam::123456789012:role/a/b/tenants", "x")
    assert found == "arn:aws-cn:sts::123456789012:assumed-role/tenants/tenant-x"
