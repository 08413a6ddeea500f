"""The attacks as requests: a server that does not check what must be refused lets each of them through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.support.http_relay import HttpRelay, Reply, Request

from rehouse.config import Settings
from rehouse.core.isolation import FORGERIES, Attack, Verdict, judge
from rehouse.s3.attacks import Attacker, Attacks, Victim, random_key
from rehouse.s3.session import Credentials, Session
from rehouse.sandbox.s3_server import S3Server

NOBODY = Credentials("AKIDNOBODY", "nothing", None)


@pytest.fixture
def attacks(storage_settings: Settings, bucket: str, target: str) -> Iterator[Attacks]:
    """Attacks on two buckets."""
    made = Attacks(Session(storage_settings), [bucket, target], max_rate=None, stop_here=lambda: None)
    yield made
    made.close()


@pytest.fixture
def victim(put: Callable[..., object], bucket: str, s3_server: S3Server) -> Victim:
    """A bucket with an object in it."""
    s3_server.root().put_object(Bucket=bucket, Key="documents/1/ä b", Body=b"secret")
    return Victim(bucket, NOBODY, "documents/1/ä b", "null")


@pytest.mark.parametrize("attack", [*sorted(FORGERIES), Attack.PRESIGNED_GET])
def test_a_server_that_trusts_every_url_is_found_out(
    storage_settings: Settings, s3_server: S3Server, bucket: str, target: str, victim: Victim, attack: Attack
) -> None:
    def trust(request: Request) -> Reply | None:
        if "X-Amz-Signature" not in request.query:
            return None
        return Reply(206, s3_server.root().get_object(Bucket=request.bucket, Key=request.key)["Body"].read()[:1])

    own = Session(storage_settings).credentials()
    with HttpRelay(s3_server.port) as relay:
        relay.before = trust
        session = Session(storage_settings.model_copy(update={"endpoint_url": relay.url}))
        attacks = Attacks(session, [bucket, target], max_rate=None, stop_here=lambda: None)
        answer = attacks.send(attack, Attacker(target, own), victim)
        attacks.close()
    assert (str(answer), judge(attack, answer.status, answer.code)) == ("206", Verdict.LEAKED)


@pytest.mark.parametrize("attack", Attack)
def test_an_access_key_that_does_not_exist_proves_nothing(
    attacks: Attacks, target: str, victim: Victim, attack: Attack
) -> None:
    answer = attacks.send(attack, Attacker(target, NOBODY), victim)
    expected = Verdict.DENIED if attack.startswith("unsigned") else Verdict.NOT_KNOWN
    assert judge(attack, answer.status, answer.code) is expected, answer


def test_an_expired_url_is_refused_before_and_after_a_change(
    attacks: Attacks, victim: Victim, target: str, storage_settings: Settings
) -> None:
    own = Session(storage_settings).credentials()
    whole = Victim(victim.bucket, own, victim.key)
    who = Attacker(target, own)
    assert attacks.read_by_url(Attacker(victim.bucket, own), victim.key or "").status == 206
    assert str(attacks.send(Attack.EXPIRED_URL, who, whole)) == "403 AccessDenied"
    assert str(attacks.send(Attack.EXTENDED_URL, who, whole)) == "403 SignatureDoesNotMatch"
    assert str(attacks.send(Attack.TAMPERED_URL, who, whole)) == "403 SignatureDoesNotMatch"


@pytest.mark.parametrize("attack", [Attack.PUT, Attack.PRESIGNED_PUT, Attack.COPY, Attack.MULTIPART, Attack.DELETE])
def test_what_an_attack_makes_is_in_its_answer(
    attacks: Attacks, target: str, victim: Victim, attack: Attack, storage_settings: Settings
) -> None:
    own = Session(storage_settings).credentials()
    home = Victim(target, own, victim.key)  # versioned
    answer = attacks.send(attack, Attacker(target, own), home if attack is not Attack.COPY else victim)
    assert answer.left is not None, answer
    assert answer.left.bucket == target
    assert answer.left.key.startswith("temp/rehouse-isolation-")
    assert (answer.left.version is None) == (attack is Attack.MULTIPART)
    assert answer.is_upload == bool(answer.upload_id) == (attack is Attack.MULTIPART)


def test_no_two_attacks_name_the_same_key() -> None:
    assert len({random_key() for _ in range(1000)}) == 1000


def test_attacks_are_no_faster_than_the_rate(storage_settings: Settings, bucket: str, victim: Victim) -> None:
    stops: list[int] = []
    slow = Attacks(Session(storage_settings), [bucket], max_rate=2, stop_here=lambda: stops.append(1))
    for _ in range(3):
        slow.look(Attacker(bucket, NOBODY))
    slow.close()
    assert slow.requests == {"control": 3}
    assert len(stops) > 3  # it has waited, and would have noticed a stop
