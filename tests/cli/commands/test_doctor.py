"""What `rehouse doctor` prints: problems first, then a line for each group; all checks with --verbose."""

from __future__ import annotations

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room

DEAD = "postgresql://nobody:hunter2@127.0.0.1:1/nowhere"


@pytest.mark.usefixtures("room")
def test_a_group_whose_checks_passed_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    said = run_text(capsys, "doctor")
    assert "ok               database: 6 checks passed\nok               mapping: 3 checks passed\n" in said
    assert "database: connection" not in said
    assert said.index("Hint: run `rehouse init`") < said.index("database: 6 checks passed"), "problems first"
    assert "s3:" not in said, "no IAM action where none is missing"


@pytest.mark.usefixtures("room")
def test_verbose_and_json_have_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    checks = run_json(capsys, "doctor")["checks"]
    said = run_text(capsys, "doctor", "--verbose")
    assert all(f"{each['subject']}: {each['message']}" in said for each in checks if each["outcome"] == "ok")
    groups = {each["group"] for each in checks}
    assert {"database", "mapping", "ledger", "S3 account", "shared bucket", "new buckets", "rights"} < groups
    assert {"ok", "notice"} <= {each["outcome"] for each in checks}


def test_the_worst_comes_first_and_in_colour(
    room: Room, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", DEAD)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLORTERM", raising=False)
    said = run_text(capsys, "doctor", "--color", "always", status=1)
    assert said.startswith("\x1b[31mfailed\x1b[0m           database: connection: ")
    assert "database: 1 failed, 5 could not be checked" in said
    assert "\x1b[33mcould not check\x1b[0m  mapping: 3 could not be checked" in said
    assert "hunter2" not in said
    assert "Next:" not in said
    assert room.shared in said
