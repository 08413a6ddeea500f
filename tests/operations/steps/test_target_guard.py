"""Whether the target is guarded is known only when it was answered, also while several tenants are copied at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import Reply, Request
from tests.support.strict_relay import StrictRelay

from rehouse.core.errors import StorageUnavailable
from rehouse.operations import migrate as migrating
from rehouse.operations.report import GUARD_UNKNOWN
from rehouse.s3.bulk.target_guard import ASKS, Condition

SECONDS = 60


def test_others_wait_for_the_answer_while_one_asks() -> None:
    guard, asked, answer = Condition(), threading.Event(), threading.Event()
    asks: list[int] = []

    def ask() -> bool:
        asks.append(1)
        asked.set()
        assert answer.wait(SECONDS)
        return True

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(guard.find_out, ask) for _ in range(4)]
        assert asked.wait(SECONDS)
        assert guard.is_honoured is None
        assert not any(each.done() for each in workers)
        answer.set()
        assert [each.result(SECONDS) for each in workers] == [None] * 4
    assert (guard.is_honoured, len(asks)) == (True, 1)


def test_no_answer_is_no_yes_and_the_next_one_asks() -> None:
    guard = Condition()
    guard.find_out(lambda: None)
    assert guard.is_honoured is None

    def fail() -> bool:
        raise StorageUnavailable("s3", hint="later", code="SlowDown")

    with pytest.raises(StorageUnavailable):
        guard.find_out(fail)
    assert guard.is_honoured is None
    guard.find_out(lambda: False)
    guard.find_out(lambda: True)
    assert guard.is_honoured is False


def test_an_unconditional_copy_tells_what_was_answered() -> None:
    guard = Condition()

    def ask() -> bool:
        guard.note_unguarded()
        return True

    guard.find_out(ask)
    assert guard.is_honoured is False


@pytest.mark.parametrize("is_answered", [True, False])
def test_parallel_tenants_ask_once_and_report_what_was_answered(
    room: Room, strict: StrictRelay, is_answered: bool
) -> None:
    slugs = ["acme", "globex", "initech"]
    for slug in slugs:
        if slug != "acme":
            room.tenant(slug)
        room.documents(f"{slug}1", f"{slug}2", slug=slug)
    repeated: list[str] = []
    copied: set[str] = set()

    def watch(request: Request) -> Reply | None:
        if request.operation != "CopyObject":
            return None
        if request.path not in copied:
            copied.add(request.path)
            return None
        repeated.append(request.path)
        return None if is_answered else refusal(400, "Unheard")(request)

    strict.meanwhile = watch
    with room.services() as services:
        tenants = [services.ledger.tenant(slug) for slug in slugs]
        reports = migrating.migrate_all(services, tenants, parallel=3)
        assert services.guard.absent.is_honoured is (True if is_answered else None)
    assert len(repeated) == (1 if is_answered else ASKS)
    assert [GUARD_UNKNOWN in each.notes for each in reports] == [not is_answered] * 3
