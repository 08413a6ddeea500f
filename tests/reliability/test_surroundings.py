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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from tests.reliability.http_relay import Reply, Request
from tests.reliability.place import Place
from tests.reliability.scenes import lay_out, source_is_untouched
from tests.reliability.warm import Ended, warm_command

SEED = 20261123
OURS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
BACKEND = f"SELECT pid {OURS} LIMIT 1"
CUT_ALL = f"SELECT count(pg_terminate_backend(pid)) {OURS}"
CUT_LOCK = f"{CUT_ALL} AND application_name = 'rehouse lock'"


def at_moment(place: Place, at: int, deed: Callable[[], object]) -> threading.Event:
    """Do something once, before the so-manieth call to PostgreSQL of the next run; return what tells whether it was done."""
    done = threading.Event()
    count = 0

    def before(what: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            deed()
            done.set()

    place.database.before = before
    return done


def survives(place: Place, ended: Ended) -> str:
    """Hold a disturbed run to its promise: it ended well, or told why, and the next one ends well."""
    assert "Traceback" not in ended.printed, ended.printed
    assert place.unreadable() == []
    if ended.status:
        assert ended.status in (1, 2), ended
        assert "hint: " in ended.printed.lower(), ended.printed
        place.done("migrate", "a")
    source_is_untouched(place)
    return "succeeded" if ended.status == 0 else "refused, and the next run succeeded"


@pytest.mark.parametrize("statement", [CUT_LOCK, CUT_ALL], ids=["the lock's connection", "every connection"])
def test_connections_cut(statement, new_place, figure):
    chance = random.Random(f"{SEED} {statement}")
    for at in sorted(chance.sample(range(20, 150), 3)):
        place = new_place()
        lay_out(place)
        done = at_moment(place, at, lambda place=place: place.world.rows(statement))
        ended = place.relayed("migrate", "a")
        assert done.is_set(), f"seed {SEED}: the run had fewer than {at} calls"
        what = "the lock's connection cut" if statement is CUT_LOCK else "every connection cut"
        figure("surroundings", what=what, seed=SEED, at=at, ended=survives(place, ended))


def test_the_database_crashes_and_comes_back(new_place, figure):
    """A backend that is killed makes PostgreSQL cut every connection and recover from its log, as after a power cut."""
    place = new_place()
    lay_out(place)
    place.world.execute("CHECKPOINT")  # the server here does not wait for its disk
    done = at_moment(place, 70, lambda: os.kill(place.world.rows(BACKEND)[0][0], signal.SIGKILL))
    ended = place.relayed("migrate", "a")
    assert done.is_set()
    for _ in range(100):
        with contextlib.suppress(psycopg.OperationalError):
            place.world.rows("SELECT 1")
            break
        time.sleep(0.1)
    figure("surroundings", what="PostgreSQL crashed and recovered", at=70, ended=survives(place, ended))


@pytest.mark.parametrize("seconds", [0.5, 8.0])
def test_s3_is_away(seconds, new_place, figure):
    place = new_place()
    lay_out(place)
    until = [0.0]

    def before(request: Request) -> Reply | None:
        if request.operation == "CopyObject" and not until[0]:
            until[0] = time.monotonic() + seconds
        if time.monotonic() < until[0]:
            raise ConnectionResetError
        return None

    place.storage.before = before
    ended = place.relayed("migrate", "a")
    assert until[0]
    figure("surroundings", what="S3 away", seconds=seconds, ended=survives(place, ended))


@pytest.mark.parametrize("command", [("migrate", "a"), ("migrate-all",)])
def test_two_operators_at_once(command, new_place, figure):
    place = new_place()
    lay_out(place)
    with warm_command() as other, ThreadPoolExecutor(2) as threads:
        second = Place(place.world, other, place.storage, place.database)
        both = [threads.submit(each.command, *command) for each in (place, second)]
        ends = [each.result() for each in both]
    assert sorted(each.status for each in ends) in ([0, 0], [0, 1], [1, 1]), ends
    for each in ends:
        assert "Traceback" not in each.printed, each.printed
        assert each.status == 0 or "another operator" in each.printed, each.printed
    figure("surroundings", what=f"two operators: {' '.join(command)}", ended=survives(place, max(ends)))


def test_the_relay_tells_operations_apart():
    head = b"PUT /b/k?partNumber=1&uploadId=u HTTP/1.1\r\nx-amz-copy-source: /s/k\r\n\r\n"
    assert Request(head, b"").operation == "UploadPartCopy"
    assert Request(head.replace(b"?partNumber=1&uploadId=u", b""), b"").operation == "CopyObject"
    assert Request(b"GET /b?list-type=2 HTTP/1.1\r\n\r\n", b"").operation == "ListObjectsV2"
