"""Homes under a KMS key: their ETags look like MD5s and are none, so they prove a copy only where S3 answered with them."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest
from tests.support.data_room import Room, md5
from tests.support.http_relay import Before, Reply, Request
from tests.support.kms_etags import KmsEtags
from tests.support.strict_relay import StrictRelay
from tests.support.whole_checksums import WholeChecksums

from rehouse.core.comparing import Proof
from rehouse.core.lifecycle import Status
from rehouse.operations.rollback import roll_back_one


@pytest.fixture
def kms(strict: StrictRelay, room: Room) -> KmsEtags:
    """The room's homes are under a KMS key, and HEAD tells the checksums of whole objects."""
    WholeChecksums(strict)
    return KmsEtags(strict, room.shared)


def put_and_wait(room: Room, key: str, body: bytes) -> None:
    """Write a source, and let the second go by: S3 tells times in seconds, and a copy has to be newer."""
    room.put(key, body)
    time.sleep(1.1)


def losing(kms: KmsEtags, key: str) -> Before:
    """Return a rule: the first copy to this key is made, and its answer is lost: S3 says that it is too busy."""
    lost: list[Request] = []

    def lose(request: Request) -> Reply | None:
        if request.operation != "CopyObject" or request.key != key or lost:
            return None
        lost.append(request)
        assert kms.ask(request).status == 200
        return Reply(503, b"<Error><Code>SlowDown</Code><Message>slow down</Message></Error>")

    return lose


def heads_with_checksums(relay: StrictRelay) -> int:
    return sum(each.headers.get("x-amz-checksum-mode") == "ENABLED" for each in relay.seen)


def test_the_ordinary_way_needs_no_checksum(room: Room, strict: StrictRelay, kms: KmsEtags) -> None:
    room.documents("a", "b")
    report = room.migrate()
    assert (report.status, report.proofs[Proof.S3_COPY]) == (Status.COMPLETED, 2)
    etag = room.sql("SELECT etag FROM documents WHERE id = 'a'")[0][0]
    assert etag == kms.shown(md5(b"a")) != md5(b"a")
    room.put("k/a", b"late")
    assert (room.migrate().late_writes, room.body("a")) == (1, b"late")
    assert room.verify().is_well
    assert heads_with_checksums(strict) == 0


def test_an_unanswered_late_copy_is_no_conflict(room: Room, strict: StrictRelay, kms: KmsEtags) -> None:
    room.documents("a", "b")
    room.migrate()
    put_and_wait(room, "k/a", b"late")
    strict.meanwhile = losing(kms, room.pointer("a")[1] or "")
    report = room.migrate()
    assert (report.status, report.errors, report.late_writes) == (Status.COMPLETED, 0, 1)
    assert room.body("a") == b"late"
    assert room.verify().is_well


def test_a_late_write_retried_is_no_conflict(room: Room, strict: StrictRelay, kms: KmsEtags) -> None:
    room.documents("a", "b")
    room.migrate()
    put_and_wait(room, "k/a", b"late and longer")
    copies: list[Request] = []
    with psycopg.connect(room.url) as busy:

        def lock(request: Request) -> None:
            if request.operation == "CopyObject" and not copies:
                copies.append(request)
                busy.execute("LOCK TABLE tenant_usage IN ACCESS EXCLUSIVE MODE")
                threading.Timer(1, busy.rollback).start()

        strict.meanwhile = lock
        report = room.migrate()
    assert (report.status, report.errors, report.late_writes, len(copies)) == (Status.COMPLETED, 0, 1, 1)
    assert room.body("a") == b"late and longer"


def test_a_write_at_both_ends_is_a_conflict(room: Room, kms: KmsEtags) -> None:
    room.documents("a", "b")
    room.migrate()
    bucket, key = room.pointer("a")
    room.put(key or "", b"home", bucket)
    put_and_wait(room, "k/a", b"late")
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("a", "Conflict")]
    assert room.body("a") == b"home"


def test_an_unanswered_copy_into_a_live_home_takes_no_place(room: Room, strict: StrictRelay, kms: KmsEtags) -> None:
    room.documents("a")
    room.migrate()
    put_and_wait(room, "k/b", b"b")
    room.row("b", "k/b", bucket=room.shared)
    strict.meanwhile = losing(kms, "documents/b/b.txt")
    report = room.migrate()
    assert (report.status, report.errors, report.adopted) == (Status.COMPLETED, 0, 1)
    assert room.body("b") == b"b"
    assert room.migrate().had_nothing_to_do
    assert room.verify().is_well


def test_something_else_in_a_live_home_is_still_not_covered(room: Room, kms: KmsEtags) -> None:
    room.documents("a")
    room.migrate()
    put_and_wait(room, "k/b", b"b")
    room.row("b", "k/b", bucket=room.shared)
    room.put("documents/b/b.txt", b"c", room.home())
    report = room.migrate()
    assert [(each.document_id, each.code) for each in report.outstanding] == [("b", "target_taken")]


def test_there_back_and_there_again(room: Room, kms: KmsEtags) -> None:
    room.documents("a", "b")
    assert room.migrate().status is Status.COMPLETED
    with room.services() as services:
        assert roll_back_one(services, services.ledger.tenant("acme")).status is Status.ROLLED_BACK
    assert room.migrate().status is Status.COMPLETED
    assert (room.body("a"), room.body("b")) == (b"a", b"b")
    assert room.verify().is_well
