"""What deletes is confirmed, and what is refused anyway is refused before anybody is asked; Ctrl-C is an answer."""

from __future__ import annotations

import io
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time

import pytest
from tests.support.data_room import Room

from rehouse.cli.confirm import Removal, confirm
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
        (("cleanup", "--drop-bucket", "foo"), "foo is not one of the shared buckets"),
        (("cleanup", "--drop-bucket", room.shared), "not finished"),
        (("rollback", "acme", "--drop-bucket"), "there is no bucket to remove"),
    ):
        said = refused(capsys, *arguments)
        assert words in said
        assert "confirmed" not in said
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)], "to be refused it made tables"


def test_the_question_says_how_much_goes(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "acme"]) == 0
    assert "(0 at present). There is no rollback afterwards." in refused(capsys, "finish", "acme")
    for arguments in (("finish", "acme", "--after", "0"), ("finish", "--all", "--after", "0")):
        said = refused(capsys, *arguments)
        assert "(2 at present). There is no rollback afterwards, and the removed objects cannot be restored." in said
        assert "not confirmed, nothing was changed" in said


def asked(typed: str, *arguments: str) -> tuple[int, str, list[str]]:
    """Run a command at a terminal where somebody types this; return its exit status, stdout, and the lines on stderr."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{typed}\n".encode())
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "rb") as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "rehouse", *arguments],
            check=False,
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=180,
        )
    return done.returncode, done.stdout, [" ".join(line.split()) for line in done.stderr.splitlines()]


def test_finish_shows_what_goes_and_what_is_final(room: Room) -> None:
    room.tenant("globex")
    room.documents("cc", slug="globex")
    assert main(["migrate-all"]) == 0
    status, printed, lines = asked("no", "finish", "--all", "--after", "0")
    assert (status, printed) == (2, "")
    first = lines.index(
        "This removes from the shared bucket the sources of documents of every tenant that were moved, however recently "
        "(3 at present):"
    )
    assert lines[first + 1 : first + 5] == [
        "",
        "tenant documents bytes bucket",
        f"acme 2 2 B {room.shared}",
        f"globex 1 2 B {room.shared}",
    ]
    assert lines[first + 6].startswith(
        "There is no rollback afterwards, and the removed objects cannot be restored. Sources are removed at once instead of 7 days"
    )
    assert lines[first + 7].startswith("Type all to go on: ")
    assert len(room.keys(room.shared)) == 3


def test_finish_says_what_a_versioned_bucket_keeps(room: Room) -> None:
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})
    assert main(["migrate", "acme"]) == 0
    status, printed, lines = asked("acme", "finish", "acme", "--after", "0")
    assert any("only the older versions that the shared bucket keeps still have the objects." in line for line in lines)
    assert (status, "Sources removed: 2" in printed, room.keys(room.shared)) == (0, True, [])


def test_cleanup_shows_what_goes_with_the_bucket(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    room.root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})
    room.put("k/a", b"a")  # a version more; the same bytes
    assert main(["migrate", "acme"]) == 0
    assert main(["finish", "acme", "--yes"]) == 0
    status, printed, lines = asked("no", "cleanup", "--drop-bucket", room.shared)
    assert (status, printed) == (2, "")
    first = lines.index(f"This removes the bucket {room.shared}:")
    assert lines[first + 2 : first + 6] == [
        "bucket versions delete markers bytes",
        f"{room.shared} 3 2 3 B",
        "",
        "None of this can be restored.",
    ]
    kept = asked("no", "cleanup", "--drop-bucket", room.shared, "--keep-empty")[2]
    assert f"This removes every version in the bucket {room.shared}, and keeps the bucket:" in kept
    assert asked(room.shared, "cleanup", "--drop-bucket", room.shared)[0] == 0
    assert room.shared not in [each["Name"] for each in room.root.list_buckets()["Buckets"]]


def test_an_open_upload_is_refused_before_the_question(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    assert main(["migrate", "acme"]) == 0
    assert main(["finish", "acme", "--yes"]) == 0
    room.root.create_multipart_upload(Bucket=room.shared, Key="k/large")
    status, _, lines = asked(room.shared, "cleanup", "--drop-bucket", room.shared)
    assert (status, any("Type " in line for line in lines)) == (2, False)


def test_a_dropped_home_is_shown_with_its_tenant(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHOUSE_GRACE_DAYS", "0")
    assert main(["migrate", "acme"]) == 0
    assert main(["rollback", "acme"]) == 0
    home = room.home()
    sizes = [each["Size"] for each in room.root.list_object_versions(Bucket=home)["Versions"]]
    status, printed, lines = asked("no", "rollback", "acme", "--drop-bucket")
    assert (status, printed) == (2, "")
    first = lines.index(f"This deletes the bucket {home}:")
    assert lines[first + 2 : first + 4] == [
        "tenant versions open uploads bytes bucket",
        f"acme {len(sizes)} 0 {sum(sizes)} B {home}",
    ]
    assert lines[first + 5].startswith("None of this can be restored; the shared bucket keeps the objects")
    room.put("k/unknown", b"x", bucket=home)
    status, _, lines = asked(home, "rollback", "acme", "--drop-bucket")
    assert (status, any("Type " in line for line in lines)) == (2, False)
    assert any("holds what the ledger does not know" in line for line in lines)


def test_uninstall_lists_what_goes_and_asks_once(room: Room) -> None:
    assert room.shared
    assert main(["init"]) == 0
    status, printed, lines = asked("no", "uninstall")
    assert (status, printed) == (2, "")
    first = lines.index("This removes from the database what `rehouse init` made:")
    assert lines[first + 2] == "what goes"
    assert "the table s3_migrations" in lines
    assert any(line.startswith("The history of every migration goes with the ledger") for line in lines)
    assert asked("uninstall", "uninstall", "--usage")[0] == 0
    status, printed, lines = asked("", "uninstall", "--usage")
    assert (status, lines, "Nothing to do" in printed) == (0, [], True)


def test_many_tenants_are_cut_and_counted(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("all\n"))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    rows = [(f"t{number}", 1, "1 B", "shared") for number in range(500)]
    confirm(
        Removal("This removes sources", "For good.", ("tenant", "documents", "bytes", "bucket"), rows), "all", yes=False
    )
    said = capsys.readouterr()
    assert said.out == ""
    assert "… and 480 more lines" in said.err
    assert len(said.err.splitlines()) < 30


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


def test_at_80_columns_no_line_of_the_question_is_cut(room: Room) -> None:
    assert main(["migrate", "acme"]) == 0
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.write(ours, b"no\n")
    command = [sys.executable, "-m", "rehouse", "finish", "acme", "--after", "0", "--progress", "none"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        assert process.wait(180) == 2
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    os.close(theirs)
    lines = shown.replace("\r", "").splitlines()
    assert any(line.split() == ["tenant", "documents", "bytes", "bucket"] for line in map(plain_of, lines))
    assert max(len(plain_of(line)) for line in lines) <= 80
    assert "There is no rollback afterwards, and the removed objects cannot be restored." in shown


def plain_of(line: str) -> str:
    """A line without its escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line)
