"""Bad input: exit status 2, a message that names its subject, a hint, no traceback, no secret, and nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.bad_input import CASES, EVERY, WRONG, assert_refused, run_here, secrets_of
from tests.support.data_room import Room

pytestmark = pytest.mark.not_on_ceph("tests/on_ceph/test_bad_input.py has the cases in which the server has a say")


@pytest.mark.parametrize("case", CASES)
def test_the_command_refuses_and_says_why(room: Room, case: str) -> None:
    changed, subjects = CASES[case]
    assert_refused(room, room.run("migrate", "acme-corp", **changed(room)), *subjects)


@pytest.mark.parametrize("case", ["no DATABASE_URL", "wrong password", "database down", "missing column"])
def test_every_command_refuses_a_database_that_cannot_be_used(
    room: Room, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed, subjects = CASES[case]
    for arguments in (*EVERY, ("init", "--sql"), ("migrate", "acme-corp", "--dry-run"), ("migrate-all", "--dry-run")):
        assert_refused(room, run_here(room, arguments, changed(room), capfd), *subjects)


@pytest.mark.parametrize("case", ["wrong secret key", "no such profile"])
def test_every_command_that_needs_s3_refuses_wrong_credentials(
    room: Room, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed, subjects = CASES[case]
    for arguments in (each for each in EVERY if each[0] not in {"init", "status"}):
        assert_refused(room, run_here(room, arguments, changed(room), capfd), *subjects)


@pytest.mark.parametrize("case", ["wrong secret key", "endpoint down", "missing shared bucket"])
def test_status_asks_the_database_alone(room: Room, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = run_here(room, ("status",), CASES[case][0](room), capfd)
    assert (done.returncode, done.stderr) == (0, "")
    assert "acme-corp" in done.stdout


def test_every_command_that_writes_a_log_refuses_a_full_disk(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in EVERY:
        assert_refused(room, run_here(room, arguments, {"REHOUSE_LOG_FILE": "/dev/full"}, capfd), "the log /dev/full")


@pytest.mark.parametrize(
    "case", ["wrong password", "database down", "missing table", "wrong secret key", "endpoint down"]
)
def test_doctor_reports_what_fails_as_a_finding(room: Room, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    changed, subjects = CASES[case]
    done = run_here(room, ("doctor", "--output", "json"), changed(room), capfd)
    assert done.returncode == 1
    assert '"failed"' in done.stdout
    assert subjects[0] in done.stdout
    assert not any(secret in done.stdout + done.stderr for secret in secrets_of(room))


USAGE = {
    ("migrate", "acme-corp", "--output", "xml"): "'xml'",
    ("migrate", "acme-corp", "--until", "nonsense"): "'nonsense'",
    ("migrate-all", "--until", "finished"): "'finished'",
    ("migrate-all", "--parallel", "0"): "--parallel",
    ("migrate-all", "--parallel", "many"): "--parallel",
    ("migrate", "acme-corp", "--max-rate", "0"): "--max-rate",
    ("migrat", "acme-corp"): "Did you mean migrate",
    ("migrate",): "SLUG",
    ("migrate", "acme-corp", "globex"): "globex",
    ("accept", "acme-corp", "d1"): "--reason",
    ("accept", "acme-corp", "--reason", "x"): "DOCUMENT",
    ("accept", "acme-corp", "d1", "--reason", "  "): "--reason",
    ("status", "--nope"): "--nope",
    ("iam-policy", "--role", "nobody"): "'nobody'",
    ("sandbox", "--tenant-id", "text"): "'text'",
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_wrong_usage_is_refused(room: Room, arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert_refused(room, run_here(room, arguments, {}, capfd), USAGE[arguments], "--help`")


def test_wrong_usage_is_refused_by_the_real_command(room: Room) -> None:
    assert_refused(room, room.run("migrate-all", "--parallel", "0"), "--parallel", "`rehouse migrate-all --help`")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("bucket_prefix = ", "is not valid TOML"),
        ("shared_bukket = 'x'", "the setting shared_bukket is unknown"),
        ("[lifecycle]\nnoncurrent_days = 'many'", "lifecycle.noncurrent_days"),
    ],
)
def test_a_wrong_rehouse_toml_is_refused_by_every_command(
    room: Room, text: str, subject: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rehouse.toml").write_text(f"database_url = '{WRONG}'\n{text}\n")
    for arguments in (*EVERY, ("doctor",), ("iam-policy",), ("config",)):
        done = run_here(room, arguments, {}, capfd, folder=str(tmp_path))
        assert_refused(room, done, "rehouse.toml", subject)
