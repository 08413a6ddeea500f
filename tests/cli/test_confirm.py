"""What deletes is confirmed, and what is refused anyway is refused before anybody is asked; Ctrl-C is an answer."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest
from tests.support.data_room import Room

from rehouse.cli.main import main


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said by a command that ends with 2; nobody is at the terminal."""
    capsys.readouterr()
    assert main(list(arguments)) == 2
    return capsys.readouterr().err


def test_a_refusal_comes_before_the_question(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.sql("INSERT INTO tenants (id, name, slug, is_active) VALUES (9, 'Hooli', 'hooli', false)")
    for arguments, words in (
        (("finish", "nosuch"), "there is no tenant"),
        (("finish", "hooli"), "hooli was not begun"),
        (("cleanup", "--drop-bucket", "foo"), "foo is none of the shared buckets"),
        (("cleanup", "--drop-bucket", room.shared), "not finished"),
        (("rollback", "acme", "--drop-bucket"), "there is no bucket to remove"),
    ):
        said = refused(capsys, *arguments)
        assert words in said
        assert "confirmed" not in said
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)], "to be refused it made tables"


def test_the_question_says_how_much_goes(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "acme"]) == 0
    assert "(0 by now)" in refused(capsys, "finish", "acme")
    for arguments in (("finish", "acme", "--after", "0"), ("finish", "--all", "--after", "0")):
        said = refused(capsys, *arguments)
        assert "(2 by now); there is no rollback afterwards" in said
        assert "not confirmed, nothing was changed" in said


def test_ctrl_c_at_the_question_changes_nothing_and_says_so(room: Room) -> None:
    assert main(["migrate", "acme"]) == 0
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rehouse", "finish", "acme", "--after", "0"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    assert process.stderr is not None
    said = b""
    while b"to go on" not in said:
        said += os.read(process.stderr.fileno(), 4096)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=180)
    os.close(ours)
    os.close(theirs)
    assert (process.returncode, b"interrupted: nothing was changed" in errors) == (130, True)
    assert len(room.keys(room.shared)) == 2


def test_a_missing_value_is_hinted_at_by_the_commands_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert "`rehouse cleanup --help`" in refused(capsys, "cleanup", "--drop-bucket")
