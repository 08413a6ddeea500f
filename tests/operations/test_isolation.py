"""The proof of isolation against a server that enforces signatures, policies and session policies."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict

import pytest
from tests.support.data_room import Room
from tests.support.http_relay import HttpRelay, Reply, Request
from tests.support.isolation_room import close_to_roles, contents, give_homes, role_of_tenants, session_of, widen
from tests.support.lax_sts import lax_sts
from tests.support.returns import drop, roll_back

from rehouse.core.errors import ConfigurationError, Interrupted
from rehouse.core.isolation import FORGERIES, NEED_AN_OBJECT, Attack, Outcome
from rehouse.core.isolation_evidence import canonical_json, digest
from rehouse.operations.isolation import IsolationReport, choose, plan, prove

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
INTERNAL_ERROR = b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"
NOT_IMPLEMENTED = (
    b"<ErrorResponse><Error><Code>NotImplemented</Code><Message>no STS here</Message></Error></ErrorResponse>"
)
NO_VERSION: dict[bool, set[Attack]] = {True: set(), False: {Attack.GET_VERSION}}


@pytest.fixture
def room(room: Room) -> Room:
    """A room with the tenant `acme`, who has no bucket yet, and a role for the credentials of one tenant."""
    room.settings = room.settings.model_copy(update={"role_arn": role_of_tenants(room)})
    room.put("shared/1", b"of somebody")
    return room


def proof(room: Room) -> IsolationReport:
    with room.services(writes=False) as services:
        return prove(services, choose(services))


def test_ten_tenants_do_not_reach_each_other(room: Room) -> None:
    homes = give_homes(room, 10)
    report = proof(room)
    evidence = report.evidence
    assert (report.outcome, evidence.leaks, evidence.not_known, report.not_tried) == (Outcome.PROVEN, [], [], 0)
    assert len(evidence.pairs) == 10 * 9 + 10
    assert {tuple(each.answers) for each in evidence.pairs if each.bucket in homes} == {tuple(Attack)}
    assert evidence.denied == sum(len(each.answers) for each in evidence.pairs) >= 90 * len(Attack)
    assert {answer for each in evidence.pairs for answer in each.answers.values()} <= {
        "403 AccessDenied",
        "403 SignatureDoesNotMatch",
    }
    assert [contents(room, home) for home in homes] == [(["documents/1/a b+ü.txt"], [], [])] * 10
    assert [each.tenant for each in evidence.tenants_left_out] == ["acme"]


@pytest.mark.parametrize("versioned", [True, False])
def test_a_bucket_that_is_open_is_a_leak_in_every_way(room: Room, versioned: bool) -> None:
    homes = give_homes(room, 3, versioned=versioned)
    widen(room, homes[1], "s3:*", principal=session_of(room, "t000"))
    report = proof(room)
    assert report.outcome is Outcome.LEAK
    leaks = report.evidence.leaks
    assert {(each.attacker, each.victim, each.bucket) for each in leaks} == {("t000", "t001", homes[1])}
    unsigned = {Attack.UNSIGNED_GET, Attack.UNSIGNED_LIST, Attack.UNSIGNED_PUT}
    assert {each.attack for each in leaks} == {*Attack} - FORGERIES - unsigned - NO_VERSION[versioned]
    assert report.evidence.not_known == []
    assert [each.left_behind for each in leaks if each.left_behind] == []
    assert [contents(room, home) for home in homes] == [(["documents/1/a b+ü.txt"], [], [])] * 3


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("s3:GetObject", {Attack.GET, Attack.PRESIGNED_GET, Attack.COPY}),
        ("s3:GetObjectVersion", {Attack.GET_VERSION}),
        ("s3:ListBucket", {Attack.LIST}),
        ("s3:ListBucketVersions", {Attack.LIST_VERSIONS}),
        ("s3:ListBucketMultipartUploads", {Attack.LIST_UPLOADS}),
        ("s3:PutObject", {Attack.PUT, Attack.PRESIGNED_PUT, Attack.MULTIPART}),
        ("s3:DeleteObject", {Attack.DELETE}),
    ],
)
def test_a_policy_that_was_widened_by_hand_is_a_leak(room: Room, action: str, found: set[Attack]) -> None:
    homes = give_homes(room, 2)
    widen(room, homes[0], action, principal=session_of(room, "t001"))
    evidence = proof(room).evidence
    assert {(each.attacker, each.victim, each.bucket) for each in evidence.leaks} == {("t001", "t000", homes[0])}
    assert {each.attack for each in evidence.leaks} == found


@pytest.mark.parametrize(
    ("action", "found"),
    [
        ("s3:GetObject", Attack.UNSIGNED_GET),
        ("s3:ListBucket", Attack.UNSIGNED_LIST),
        ("s3:PutObject", Attack.UNSIGNED_PUT),
    ],
)
def test_a_bucket_that_is_open_to_the_world_is_a_leak(room: Room, action: str, found: Attack) -> None:
    homes = give_homes(room, 2)
    widen(room, homes[0], action)
    evidence = proof(room).evidence
    assert {(each.attacker, each.victim, each.attack) for each in evidence.leaks} == {("t001", "t000", found)}
    assert contents(room, homes[0]) == (["documents/1/a b+ü.txt"], [], [])


def test_a_shared_bucket_that_is_open_is_a_leak(room: Room) -> None:
    give_homes(room, 2)
    widen(room, room.shared, "s3:GetObject")
    report = proof(room)
    assert {(each.victim, each.key) for each in report.evidence.leaks} == {(room.shared, "shared/1")}
    assert report.outcome is Outcome.LEAK


def test_the_former_home_of_a_tenant_that_went_back_is_tried(room: Room) -> None:
    give_homes(room, 1)
    room.documents("1", "2")
    room.migrate()
    roll_back(room)
    home = room.home()
    widen(room, home, "s3:ListBucket", principal=session_of(room, "t000"))
    leaks = proof(room).evidence.leaks
    assert {(each.attacker, each.victim, each.bucket, each.attack) for each in leaks} == {
        ("t000", "acme", home, Attack.LIST)
    }
    drop(room)
    report = proof(room)
    assert report.outcome is Outcome.PROVEN
    assert [each.tenant for each in report.evidence.tenants_left_out] == ["acme"]


def test_two_tenants_with_the_same_bucket_are_a_leak(room: Room) -> None:
    [home] = give_homes(room, 1)
    room.sql("ALTER TABLE tenants DROP CONSTRAINT tenants_aws_bucket_name_key")
    room.tenant("twin", home)
    report = proof(room)
    assert report.outcome is Outcome.LEAK
    assert {(each.attacker, each.victim) for each in report.evidence.leaks} == {("t000", "twin"), ("twin", "t000")}
    assert contents(room, home) == (["documents/1/a b+ü.txt"], [], [])


def test_a_role_that_does_not_reach_the_buckets_proves_nothing(room: Room) -> None:
    give_homes(room, 2)
    elsewhere = role_of_tenants(room, "arn:aws:s3:::somewhere-else")
    room.settings = room.settings.model_copy(update={"role_arn": elsewhere})
    report = proof(room)
    assert report.outcome is Outcome.NOT_POSSIBLE
    assert report.evidence.pairs == []
    assert "403 AccessDenied" in str(report.evidence.certification.reason)


def test_a_tenant_cut_off_from_its_own_bucket_is_not_proven(room: Room) -> None:
    homes = give_homes(room, 3)
    room.root.delete_object(Bucket=homes[2], Key="documents/1/a b+ü.txt")
    close_to_roles(room, homes[2])
    report = proof(room)
    assert report.outcome is Outcome.NOT_KNOWN
    assert [each.tenant for each in report.evidence.principals if each.fault] == ["t002"]
    assert report.not_tried == 2 + 2 + 1
    assert {each.attacker for each in report.evidence.pairs} == {"t000", "t001"}


def test_a_server_without_session_policies_proves_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    give_homes(room, 3)
    with lax_sts(room.server) as relay:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", relay.url)
        report = proof(room)
    assert report.outcome is Outcome.NOT_POSSIBLE
    assert report.evidence.pairs == []
    certification = report.evidence.certification
    assert (certification.must_succeed, certification.must_fail) == ("200", "200")
    assert "does not enforce session policies" in str(certification.reason)


def test_a_server_without_sts_proves_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    give_homes(room, 2)
    with HttpRelay(room.server.port) as relay:
        relay.before = lambda request: Reply(501, NOT_IMPLEMENTED) if b"Action=AssumeRole" in request.body else None
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", relay.url)
        report = proof(room)
    assert report.outcome is Outcome.NOT_POSSIBLE


def test_an_endpoint_without_an_sts_of_its_own_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    give_homes(room, 2)
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS")
    report = proof(room)
    assert report.outcome is Outcome.NOT_POSSIBLE
    assert "set AWS_ENDPOINT_URL_STS" in str(report.evidence.certification.reason)


def test_what_s3_does_not_answer_is_not_proven(room: Room) -> None:
    give_homes(room, 2)
    with HttpRelay(room.server.port) as relay:
        relay.before = lambda request: Reply(503, SLOW_DOWN) if request.method == "DELETE" else None
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        report = proof(room)
    assert report.outcome is Outcome.NOT_KNOWN
    assert {each.attack for each in report.evidence.not_known} == {Attack.DELETE}
    assert {each.answer for each in report.evidence.not_known} == {"503 SlowDown"}
    assert report.evidence.leaks == []


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_what_a_lost_answer_has_made_is_removed(room: Room, method: str) -> None:
    homes = give_homes(room, 2, versioned=False)
    widen(room, homes[0], "s3:PutObject", principal=session_of(room, "t001"))

    def lose(request: Request, reply: Reply) -> Reply:
        is_write = request.method == method and request.key.startswith("temp/")
        return Reply(500, INTERNAL_ERROR) if is_write and reply.status == 200 else reply

    with HttpRelay(room.server.port) as relay:
        relay.after = lose
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        report = proof(room)
    lost = {"PUT": {Attack.PUT, Attack.PRESIGNED_PUT}, "POST": {Attack.MULTIPART}}[method]
    assert {each.attack for each in report.evidence.not_known} == lost
    assert report.outcome is Outcome.LEAK
    assert [contents(room, home) for home in homes] == [(["documents/1/a b+ü.txt"], [], [])] * 2


def test_a_request_that_was_throttled_is_sent_again(room: Room) -> None:
    give_homes(room, 2)
    refused: list[str] = []

    def refuse_once(request: Request) -> Reply | None:
        if request.method != "DELETE" or request.path in refused:
            return None
        refused.append(request.path)
        return Reply(503, SLOW_DOWN)

    with HttpRelay(room.server.port) as relay:
        relay.before = refuse_once
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        assert proof(room).outcome is Outcome.PROVEN
    assert len(refused) == 4


def test_a_stop_ends_the_proof_without_a_report(room: Room) -> None:
    homes = give_homes(room, 3)
    with room.services(writes=False) as services:
        services.report = lambda event: services.stop() if event.step == "attack" else None
        with pytest.raises(Interrupted):
            prove(services, choose(services))
    assert [contents(room, home) for home in homes] == [(["documents/1/a b+ü.txt"], [], [])] * 3


def test_a_bucket_without_an_object_is_told(room: Room) -> None:
    homes = give_homes(room, 2, versioned=False)
    room.root.delete_object(Bucket=homes[0], Key="documents/1/a b+ü.txt")
    evidence = proof(room).evidence
    assert [each.has_object for each in evidence.principals] == [False, True]
    [tried] = [each.answers for each in evidence.pairs if each.bucket == homes[0]]
    assert {*map(Attack, tried)} == {*Attack} - NEED_AN_OBJECT


def test_the_evidence_has_no_secret_and_its_digest_holds(room: Room) -> None:
    give_homes(room, 2)
    report = proof(room)
    assert report.digest == digest(report.evidence)
    text = canonical_json(asdict(report.evidence)).decode()
    assert not re.search(r"Signature|X-Amz-|ASIA|AKIA|FwoG", text.replace("SignatureDoesNotMatch", ""))
    assert report.evidence.role_arn == room.settings.role_arn
    assert report.evidence.begun_at <= report.evidence.ended_at
    assert [each.own_access for each in report.evidence.principals] == ["206", "206"]


def test_above_fifty_tenants_each_attacks_a_sample(room: Room) -> None:
    give_homes(room, 52)
    with room.services(writes=False) as services:
        choice = choose(services, seed=7, victims_each=2)
        assert choice.pairs == choose(services, seed=7, victims_each=2).pairs
        report = prove(services, choice)
    assert (report.outcome, report.evidence.seed, report.evidence.victims_each) == (Outcome.PROVEN, 7, 2)
    assert Counter(each.attacker for each in report.evidence.pairs) == {f"t{number:03}": 3 for number in range(52)}


def test_without_a_role_the_command_is_refused(room: Room) -> None:
    give_homes(room, 2)
    room.settings = room.settings.model_copy(update={"role_arn": None})
    with room.services(writes=False) as services, pytest.raises(ConfigurationError) as refusal:
        choose(services)
    assert refusal.value.subject == "role_arn"


def test_without_tenants_nothing_is_proven(room: Room) -> None:
    give_homes(room, 0)
    report = proof(room)
    assert report.outcome is Outcome.NOT_POSSIBLE
    assert report.evidence.certification.reason == "no tenant has a bucket of its own yet"


def test_a_plan_sends_nothing_and_is_an_upper_bound(room: Room) -> None:
    give_homes(room, 4)
    with room.services(writes=False) as services:
        choice = choose(services)
        before = services.bulk.requests.total() + services.control.requests.total()
        planned = plan(services, choice)
        assert services.bulk.requests.total() + services.control.requests.total() == before
        report = prove(services, choice)
    assert planned.pairs_to_try == len(report.evidence.pairs) == 4 * 3 + 4
    assert report.evidence.requests_sent <= planned.requests_to_send
