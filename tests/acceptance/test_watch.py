"""`status --watch` sees a real run: its counts only grow, its end is told, and so are a killed run and a database that is away."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from itertools import pairwise
from typing import Any

import pytest
from tests.support.data_room import Room

DOCUMENTS = 240
SLOWLY = {"REHOUSE_BATCH_SIZE": "30", "REHOUSE_MAX_RATE": "40"}


@pytest.fixture
def room(new_room) -> Room:
    made = new_room("integer")
    made.lay_out(DOCUMENTS)
    assert made.run("init").returncode == 0
    return made


def lines(watching: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, errors = watching.communicate(timeout=120)
    assert watching.returncode == 0, errors
    assert errors == ""
    return [json.loads(line) for line in out.splitlines()]


def await_published(room: Room, documents: int = 1) -> None:
    until = time.monotonic() + 60
    while not room.rows("SELECT 1 FROM s3_migration_progress WHERE documents >= %s", documents):
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.sample
def test_a_run_is_seen_to_grow_and_to_end(room):
    watching = room.start("status", "--watch", "--output", "json")
    run = room.run("migrate", "a", **SLOWLY)
    assert run.returncode == 0, run.stdout + run.stderr
    [run_id] = re.findall(r"Run (\S+), ", run.stdout)
    told = lines(watching)
    assert room.rows("SELECT count(*) FROM s3_migration_progress") == [(0,)]
    assert {each["type"] for each in told} == {"idle", "progress", "event", "ended", "states"}
    seen = [each for each in told if each["type"] == "progress"]
    assert {(each["run_id"], each["command"]) for each in seen} == {(run_id, "migrate")}
    assert len({each["documents"] for each in seen}) >= 3
    for before, after in pairwise(seen):
        for name in (
            "documents",
            "documents_total",
            "documents_failed",
            "bytes_copied",
            "tenants_done",
            "elapsed_seconds",
        ):
            assert before[name] <= after[name], name
    assert all(0 <= each["documents"] <= each["documents_total"] for each in seen)
    assert {at["subject"] for each in seen for at in each["at_work"]} >= {"a"}
    assert {at["phase"] for each in seen for at in each["at_work"] if at["subject"] == "a"} >= {"provisioned"}
    assert [(each["event"], each["slug"]) for each in told if each["type"] == "event"][-1] == ("home_switched", "a")
    [ended] = [each for each in told if each["type"] == "ended"]
    assert (ended["run_id"], ended["is_killed"]) == (run_id, False)
    assert [each["tenants_by_state"] for each in told if each["type"] == "states"][-1] == {"completed": 1}
    assert told[-1]["type"] == "idle"


@pytest.mark.long
@pytest.mark.sample
def test_a_killed_run_is_told_and_the_next_clears_it_away(room):
    watching = room.start("status", "--watch")
    run = room.start("migrate", "a", **SLOWLY)
    await_published(room)
    run.kill()
    run.communicate()
    told = lines(watching)
    assert [each["is_killed"] for each in told if each["type"] == "ended"] == [True]
    assert room.rows("SELECT count(*) > 0 FROM s3_migration_progress") == [(True,)]
    assert room.run("migrate", "a", **SLOWLY).returncode == 0
    assert room.rows("SELECT count(*) FROM s3_migration_progress") == [(0,)]


def test_a_database_that_is_away_is_told_until_it_is_back(room):
    name = room.url.rsplit("/", 1)[1]
    watching = room.start("status", "--watch")
    assert watching.stdout is not None
    assert [json.loads(watching.stdout.readline())["type"] for _ in range(2)] == ["states", "idle"]
    server = Room(room.url.rsplit("/", 1)[0] + "/postgres", "", room.server)
    server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        )
        away = json.loads(watching.stdout.readline())
    finally:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert away["type"] == "database_away"
    assert away["hint"]
    assert json.loads(watching.stdout.readline())["type"] == "database_back"
    watching.send_signal(signal.SIGINT)
    assert lines(watching) == []


@pytest.mark.parametrize("size", [(24, 80), (40, 120)])
def test_ctrl_c_ends_the_screen_and_leaves_nothing_of_it(room, size):
    run = room.start("migrate", "a", **SLOWLY)
    await_published(room)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    environment = room.environment() | {"TERM": "xterm-256color"}
    command = [sys.executable, "-m", "rehouse", "status", "--watch"]
    watching = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"Last events" not in shown:
        shown += os.read(ours, 65536)
    watching.send_signal(signal.SIGINT)
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the terminal is closed with its last process
        pass
    os.close(ours)
    assert watching.wait(30) == 0
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    screen, _, after = shown.decode().partition("\x1b[?1049l")
    assert "migrate on " in screen
    assert "\x1b[?25h" in shown.decode(), "the cursor is shown again"
    assert "Traceback" not in shown.decode()
    assert re.search(r"^migrate on \S+: 0 of 1 tenant, \d+ of 240 documents", after, re.MULTILINE), after
