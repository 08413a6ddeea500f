"""Roles that IAM Identity Center made are simulated by their real ARN, quotas are asked where the partition keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from tests.support.s3_stub import Scripted, Seen, serving

from rehouse.config import Settings
from rehouse.core.bucket.documents import partition
from rehouse.core.permissions.policies import Scope, permissions_of
from rehouse.operations.checks.account import QUOTA_REGIONS
from rehouse.operations.checks.check import Outcome
from rehouse.operations.checks.rights import simulate_rights
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

NAME = "AWSReservedSSO_Operators_0123456789abcdef"
CALLER = f"arn:aws:sts::123456789012:assumed-role/{NAME}/somebody@example.com"
REAL = f"arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/eu-west-1/{NAME}"
HINT = "attach the policies"
SCOPE = Scope(("shared-docs",), "acme", "our-logs", account="123456789012")


class Iam:
    """What IAM answers: the role, if that is allowed, and that everything is allowed."""

    def __init__(self, *, tells_role: bool) -> None:
        self.tells_role = tells_role
        self.asked: list[dict[str, list[str]]] = []

    def answer(self, seen: Seen) -> Scripted:
        form = parse_qs(seen.body.decode())
        self.asked.append(form)
        (action,) = form["Action"]
        if action == "GetRole" and not self.tells_role:
            body = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
            return Scripted(403, body.encode(), {"Content-Type": "text/xml"})
        inside = f"<Role><Arn>{REAL}</Arn><RoleName>{NAME}</RoleName><Path>/</Path><RoleId>1</RoleId></Role>"
        if action != "GetRole":
            names = [value for key, values in form.items() if key.startswith("ActionNames") for value in values]
            inside = "".join(
                f"<member><EvalActionName>{each}</EvalActionName><EvalDecision>allowed</EvalDecision></member>"
                for each in names
            )
            inside = f"<EvaluationResults>{inside}</EvaluationResults><IsTruncated>false</IsTruncated>"
        body = f"<{action}Response><{action}Result>{inside}</{action}Result></{action}Response>"
        return Scripted(200, body.encode(), {"Content-Type": "text/xml"})


@pytest.fixture(params=[True, False])
def iam(request: pytest.FixtureRequest) -> Iam:
    """IAM that tells the role, or does not."""
    return Iam(tells_role=request.param)


@pytest.fixture
def control(iam: Iam, storage_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    """A control plane whose IAM is the stub."""
    with serving(iam.answer) as stub:
        monkeypatch.setenv("AWS_ENDPOINT_URL_IAM", stub.url)
        yield Control(Session(storage_settings))


def test_an_sso_role_is_simulated_by_its_arn_with_the_path(control: Control, iam: Iam) -> None:
    rows = permissions_of(["migrate"])
    checks = list(simulate_rights(control, rows, SCOPE, CALLER, "rights", hint=HINT))
    sources = {source for form in iam.asked for source in form.get("PolicySourceArn", [])}
    if iam.tells_role:
        assert {check.outcome for check in checks} == {Outcome.OK}
        assert sources == {REAL}
        assert [form["Action"] for form in iam.asked].count(["GetRole"]) == 1
    else:
        assert {check.outcome for check in checks} == {Outcome.COULD_NOT_CHECK}
        assert all("iam:GetRole" in check.message for check in checks)
        assert sources == set()


def test_a_simulation_gets_the_account_of_the_policies(control: Control, iam: Iam) -> None:
    user = "arn:aws:iam::123456789012:user/somebody"
    list(simulate_rights(control, permissions_of(["migrate"])[-1:], SCOPE, user, "rights", hint=HINT))
    list(simulate_rights(control, permissions_of(["rollback"]), SCOPE, user, "rights", hint=HINT))
    told = [value for form in iam.asked for key, values in form.items() if "ContextKeyName" in key for value in values]
    assert {"aws:ResourceAccount", "aws:PrincipalAccount"} <= set(told)


def test_quotas_are_asked_where_the_partition_keeps_them() -> None:
    assert QUOTA_REGIONS == {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}
    for region, place in (
        ("eu-west-1", "us-east-1"),
        ("cn-northwest-1", "cn-north-1"),
        ("us-gov-east-1", "us-gov-west-1"),
    ):
        session = Session(Settings(region=region))
        assert f".{QUOTA_REGIONS[partition(region)]}." in session.client("service-quotas", place).meta.endpoint_url
