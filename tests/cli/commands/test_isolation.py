"""What `isolation` prints of a report: short for many tenants, each leak by name, and what follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rehouse.cli.commands.isolation import show_isolation
from rehouse.core.isolation import Attack, Outcome
from rehouse.core.isolation_evidence import (
    AttackFinding,
    Certification,
    Evidence,
    LeftOutTenant,
    PairAnswers,
    Principal,
)
from rehouse.operations.isolation import IsolationReport

DENIED = "403 AccessDenied"


def evidence(tenants: int) -> Evidence:
    names = [f"t{number:02}" for number in range(tenants)]
    return Evidence(
        format=1,
        program="rehouse 1",
        endpoint="https://s3.example.com",
        region="us-east-1",
        role_arn="arn:aws:iam::123456789012:role/tenants",
        caller=None,
        begun_at="2026-11-27T20:00:00+00:00",
        ended_at="2026-11-27T20:00:00+00:00",
        certification=Certification("t00", "200", DENIED),
        seed=None,
        victims_each=10,
        shared_buckets=[],
        principals=[Principal(name, at, name, f"arn:{name}", "206", True) for at, name in enumerate(names)],
        pairs=[
            PairAnswers(one, other, other, {"get": DENIED, "put": DENIED})
            for one in names
            for other in names
            if one != other
        ],
        denied=2 * tenants * (tenants - 1),
    )


def leak(attacker: str, victim: str, attack: Attack, left_behind: str | None = None) -> AttackFinding:
    return AttackFinding(attacker, victim, victim, "temp/x", attack, "200", "", left_behind)


def printed(capsys: pytest.CaptureFixture[str], outcome: Outcome, found: Evidence, not_tried: int = 0) -> list[str]:
    show_isolation(IsolationReport(outcome, "d" * 64, not_tried, found))
    return capsys.readouterr().out.splitlines()


def test_a_proof_has_a_line_for_each_tenant(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, Outcome.PROVEN, evidence(3))
    assert lines[0].split() == ["tenant", "buckets", "attacked", "requests", "denied", "reached"]
    assert [line.split() for line in lines[1:4]] == [[f"t0{number}", "2", "4", "4", "0"] for number in range(3)]
    assert lines[-3:] == [
        "3 tenants, 6 pairs, 12 attacks denied, 0 not denied, 0 not known.",
        "Proven: no tenant reached another one.",
        f"SHA-256 of the evidence: {'d' * 64}",
    ]


def test_many_tenants_are_listed_only_if_they_reached_one(capsys: pytest.CaptureFixture[str]) -> None:
    many = evidence(21)
    assert len(printed(capsys, Outcome.PROVEN, many)) == 3
    found = replace(many, leaks=[leak("t03", "t04", Attack.GET), leak("t03", "t04", Attack.PUT, "an upload")])
    lines = printed(capsys, Outcome.LEAK, found)
    assert lines[1].split() == ["t03", "20", "40", "38", "2"]
    assert "t03 reached t04, s3://t04: get (200), put (200)" in lines
    assert "  left behind: an upload" in lines
    assert lines[-2].startswith("Tenants are not isolated")


def test_more_leaks_than_fit_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    leaks = [leak("t00", f"t{number:02}", Attack.GET) for number in range(1, 25)]
    lines = printed(capsys, Outcome.LEAK, replace(evidence(25), leaks=leaks))
    assert sum(" reached " in line for line in lines) == 20
    assert "  … and 4 more (--output json lists them all)" in lines


def test_what_is_not_known_is_never_called_proven(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = replace(
        evidence(2),
        not_known=[replace(leak("t00", "t01", Attack.LIST), answer="503 SlowDown")],
        tenants_left_out=[LeftOutTenant("late", 9, "it has no bucket of its own yet")],
    )
    unknown = replace(unknown, principals=[replace(unknown.principals[0], fault="no way in"), unknown.principals[1]])
    lines = printed(capsys, Outcome.NOT_KNOWN, unknown, not_tried=1)
    assert "t00 not known: t01, s3://t01: list (503 SlowDown)" in lines
    assert "t00: not tried: no way in" in lines
    assert "  late: it has no bucket of its own yet" in lines
    assert lines[-3].endswith("1 not known, 1 pair not tried.")
    assert lines[-2] == "Not proven: not everything could be tried."


def test_a_sample_and_empty_buckets_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = replace(
        evidence(2), seed=7, principals=[replace(each, has_object=False) for each in evidence(2).principals]
    )
    lines = printed(capsys, Outcome.PROVEN, found)
    assert "note: a sample: each tenant attacked 10 others (--seed 7 repeats it)" in lines
    assert "note: 2 buckets without an object: nobody could try to read one there" in lines


def test_a_server_that_is_not_certified_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    found = replace(evidence(0), certification=Certification(reason="the server has no STS"))
    assert printed(capsys, Outcome.NOT_POSSIBLE, found) == [
        "Not possible here: the server has no STS",
        f"SHA-256 of the evidence: {'d' * 64}",
    ]
