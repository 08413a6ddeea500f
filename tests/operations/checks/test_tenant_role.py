"""The role for credentials of one tenant, as doctor sees it."""

from __future__ import annotations

import pytest
from tests.support.http_relay import HttpRelay, Reply
from tests.support.isolation_room import role_of_tenants

from rehouse.operations.checks.check import Outcome
from rehouse.operations.checks.tenant_role import check_tenant_role
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

ANSWER = b"""<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>A</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>
<Expiration>2030-01-01T00:00:00Z</Expiration></Credentials><PackedPolicySize>%d</PackedPolicySize></AssumeRoleResult>
</AssumeRoleResponse>"""


@pytest.fixture
def check(room):
    def check(role):
        settings = room.settings.model_copy(update={"role_arn": role})
        return list(check_tenant_role(settings, Control(Session(settings))))

    return check


def test_nothing_is_checked_without_a_role(check):
    assert check(None) == []


def test_a_role_that_can_be_assumed_is_fine(check, room):
    [found] = check(role_of_tenants(room))
    assert found.outcome is Outcome.OK
    assert "of 2,048 characters" in found.message


def test_a_role_that_cannot_be_assumed_is_named(check):
    [found] = check("arn:aws:iam::000000000000:role/none")
    assert found.outcome is Outcome.FAILED
    assert "REHOUSE_ROLE_ARN" in found.hint and "sts:TagSession" in found.hint


@pytest.mark.parametrize(("percent", "outcome"), [(80, Outcome.OK), (81, Outcome.NOTICE)])
def test_a_session_policy_near_the_limit_is_noticed(check, room, monkeypatch, percent, outcome):
    with HttpRelay(room.server.port) as relay:
        relay.before = lambda _: Reply(200, ANSWER % percent)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", relay.url)
        [found] = check(role_of_tenants(room))
    assert found.outcome is outcome
    assert f"packed {percent} % of the limit" in found.message
