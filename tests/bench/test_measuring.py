"""A command's cost is its own: its memory not that of whoever measures it, its status and its output as they were."""

from __future__ import annotations

import os
import sys

import pytest

from bench import measuring
from bench.processes import resident_bytes

BARE = [sys.executable, "-I", "-S", "-c"]


def test_peak_memory_is_the_commands_own() -> None:
    ballast = b"x" * 200_000_000
    small = measuring.run([*BARE, "pass"], os.environ, core=None)
    large = measuring.run([*BARE, "held = b'x' * 100_000_000"], os.environ, core=None)
    assert resident_bytes(os.getpid()) > len(ballast)
    assert small.peak_bytes < 40_000_000
    assert 100_000_000 < large.peak_bytes < 140_000_000


def test_the_one_who_watches_is_told_the_commands_own_process() -> None:
    told: list[int] = []
    cost = measuring.run([*BARE, "import os; print(os.getpid())"], os.environ, core=None, started=told.append)
    assert told == [int(cost.output)]


def test_cpu_is_that_of_the_command_and_its_children() -> None:
    forks = "import os, time\nif os.fork(): os.wait()\nelse:\n while time.process_time() < 0.2: pass"
    assert 0.2 <= measuring.run([*BARE, forks], os.environ, core=None).cpu_seconds < 1


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(measuring.CommandFailedError, match="ended with 3:\nno luck"):
        measuring.run([*BARE, "print('no luck'); raise SystemExit(3)"], os.environ, core=None)
    with pytest.raises(measuring.CommandFailedError, match="ended with 127"):
        measuring.run(["no-such-program"], os.environ, core=None)
    assert measuring.run([*BARE, "raise SystemExit(3)"], os.environ, core=None, statuses=(0, 3)).output == ""
