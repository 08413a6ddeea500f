"""Output that cannot be written: a closed pipe and a full disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command_line import BARE, COMMAND


def unread(arguments: list[str], told: dict[str, str] | None = None) -> tuple[int, bytes]:
    """The exit status and the errors of a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=told or BARE, cwd="/", check=False)
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["config"], ["config", "--output", "json"], ["--help"]])
@pytest.mark.parametrize("told", [BARE, {**BARE, "PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_closed_pipe_is_no_error(arguments: list[str], told: dict[str, str]) -> None:
    assert unread(arguments, told) == (0, b"")


def test_findings_are_the_exit_status_even_if_nobody_reads(run_sql: Callable[[str], None]) -> None:
    assert unread(["status"], dict(os.environ))[0] == 0
    assert unread(["verify", "acme"], dict(os.environ))[0] == 1


def test_an_output_that_cannot_be_written_is_said_in_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "config"], stdout=full, stderr=subprocess.PIPE, env=BARE, cwd="/", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: the output cannot be written")
    assert b"Traceback" not in done.stderr
