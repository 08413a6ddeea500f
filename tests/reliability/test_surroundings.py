"""What breaks around a run: a database that crashes, S3 away for a while, connections cut, a second operator.

The run goes on, or says why it cannot and the next one does.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg
import pytest
from tests.support.closing_questions import unreadable
from tests.support.data_room import Room
from tests.support.http_relay import Reply, Request
from tests.support.sampling import LONG_SAMPLE
from tests.support.scenes import lay_out, source_is_untouched
from tests.support.warm_process import Ended, warm_command

SEED = 20261123
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
BACKEND = f"SELECT pid {OURS} LIMIT 1"
CUT_ALL = f"SELECT count(pg_terminate_backend(pid)) {OURS}"
CUT_LOCK = f"{CUT_ALL} AND application_name = 'rehouse lock'"
LAST_CALLS = 80
"""So many calls to PostgreSQL, and some more, come after the first copy of the few documents here."""


class AfterTheFirstCopy:
    """Does something once: when S3 has been asked for a copy, before the call to PostgreSQL so many calls later."""

    def __init__(self, room: Room, later: int, deed: Callable[[], object]) -> None:
        self._room, self._later, self._deed = room, later, deed
        self._lock = threading.Lock()
        self._calls = 0
        self.done: list[object] = []
        room.storage.seen.clear()
        room.database.before = self._before

    def _before(self, what: str) -> None:
        with self._lock:
            if any(request.operation == "CopyObject" for request in self._room.storage.seen):
                self._calls += 1
                if self._calls == self._later + 1:
                    self.done.append(self._deed())


def survives(room: Room, ended: Ended) -> str:
    """Hold a disturbed run to its promise: it ended well, or told why, and the next one ends well."""
    assert "Traceback" not in ended.printed, ended.printed
    assert unreadable(room) == []
    if ended.status:
        assert ended.status in (1, 2), ended
        assert "hint: " in ended.printed.lower(), ended.printed
        room.done("migrate", "a")
    source_is_untouched(room)
    return "succeeded" if ended.status == 0 else "refused, and the next run succeeded"


@pytest.mark.parametrize("statement", [CUT_LOCK, CUT_ALL], ids=["the lock's connection", "every connection"])
def test_connections_cut(statement, new_room, figure):
    chance = random.Random(f"{SEED} {statement}")
    for later in (0, *sorted(chance.sample(range(1, LAST_CALLS), 2))):
        room = new_room()
        lay_out(room)
        moment = AfterTheFirstCopy(room, later, lambda room=room: room.rows(statement)[0][0])
        ended = room.relayed("migrate", "a")
        assert moment.done, f"seed {SEED}: the run made no {later} calls after its first copy"
        assert moment.done[0] >= (1 if statement is CUT_LOCK else 2), "nothing was cut"
        what = "the lock's connection cut" if statement is CUT_LOCK else "every connection cut"
        figure("surroundings", what=what, seed=SEED, at=later, ended=survives(room, ended))


@pytest.mark.parametrize("later", [0, 61])
def test_the_database_crashes_and_comes_back(later, new_room, figure):
    """A backend that is killed makes PostgreSQL cut every connection and recover from its log, as after a power cut."""
    room = new_room()
    lay_out(room)
    room.execute("CHECKPOINT")  # the server here does not wait for its disk
    moment = AfterTheFirstCopy(room, later, lambda: os.kill(room.rows(BACKEND)[0][0], signal.SIGKILL))
    ended = room.relayed("migrate", "a")
    assert moment.done
    for _ in range(100):
        with contextlib.suppress(psycopg.OperationalError):
            room.rows("SELECT 1")
            break
        time.sleep(0.1)
    figure("surroundings", what="PostgreSQL crashed and recovered", at=later, ended=survives(room, ended))


@pytest.mark.parametrize("seconds", [0.5, pytest.param(8.0, marks=LONG_SAMPLE)])
def test_s3_is_away(seconds, new_room, figure):
    room = new_room()
    lay_out(room)
    until = [0.0]

    def before(request: Request) -> Reply | None:
        if request.operation == "CopyObject" and not until[0]:
            until[0] = time.monotonic() + seconds
        if time.monotonic() < until[0]:
            raise ConnectionResetError
        return None

    room.storage.before = before
    ended = room.relayed("migrate", "a")
    assert until[0]
    figure("surroundings", what="S3 away", seconds=seconds, ended=survives(room, ended))


@contextlib.contextmanager
def held_at_its_first_copy(room: Room, *command: str) -> Iterator[Future[Ended]]:
    """Run the command up to where it first asks S3 for a copy, and on from there when this is left."""
    reached, let_go = threading.Event(), threading.Event()

    def before(request: Request) -> Reply | None:
        if request.operation == "CopyObject":
            reached.set()
            assert let_go.wait(60)
        return None

    room.storage.before = before
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(room.relayed, *command)
        try:
            assert reached.wait(60)
            yield run
            assert not run.done()
        finally:
            let_go.set()


def test_two_operators_at_once(new_room, figure):
    room = new_room()
    lay_out(room)
    with warm_command() as other, held_at_its_first_copy(room, "migrate", "a") as first:
        refused = room.beside(other).command("migrate", "a")
    assert first.result().status == 0, first.result()
    assert refused.status == 1, refused
    assert "another operator is working on a" in refused.printed
    figure("surroundings", what="two operators: migrate a", ended=survives(room, refused))


def test_two_operators_with_every_tenant(new_room, figure):
    """The second one tells of the tenant that is being moved, and moves the others meanwhile."""
    room = new_room()
    lay_out(room)
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (2, 'B', 'b')")
    room.upload("of b", b"of b")
    room.execute("UPDATE documents SET tenant_id = 2 WHERE id = 'of b'")
    moved = (
        "SELECT slug, count(*) FROM documents d JOIN tenants t ON t.id = d.tenant_id "
        "WHERE s3_bucket = aws_bucket_name GROUP BY 1"
    )
    alone = ("migrate-all", "--parallel", "1")
    with warm_command() as other, held_at_its_first_copy(room, *alone) as first:
        second = room.beside(other).command("migrate-all")
        assert room.rows(moved) == [("b", 1)], second
    assert first.result().status == 0, first.result()
    assert second.status == 1, second
    for each in (first.result(), second):
        assert "Traceback" not in each.printed, each.printed
    assert "another operator is working on a" in second.printed
    assert sorted(room.rows(moved)) == [("a", 5), ("b", 1)]
    assert unreadable(room) == []
    room.done("migrate-all")
    figure("surroundings", what="two operators: migrate-all", ended="refused, and the next run succeeded")


def test_the_relay_tells_operations_apart():
    head = b"PUT /b/k?partNumber=1&uploadId=u HTTP/1.1\r\nx-amz-copy-source: /s/k\r\n\r\n"
    assert Request(head, b"").operation == "UploadPartCopy"
    assert Request(head.replace(b"?partNumber=1&uploadId=u", b""), b"").operation == "CopyObject"
    assert Request(b"GET /b?list-type=2 HTTP/1.1\r\n\r\n", b"").operation == "ListObjectsV2"
