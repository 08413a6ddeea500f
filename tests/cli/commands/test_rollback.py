"""What `rehouse rollback` prints."""

from __future__ import annotations

import pytest
from tests.support.command_line import run_text
from tests.support.data_room import Room


def test_a_dry_run_shows_what_would_return(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    run_text(capsys, "migrate", "acme")
    count = len(room.sql("SELECT id FROM documents"))
    would = run_text(capsys, "rollback", "acme", "--dry-run")
    headings, row, *_ = would.splitlines()
    assert headings.split("  ")[0] == "tenant"
    assert "to return" in headings
    assert not {"returned", "this run"} & {each.strip() for each in headings.split("  ")}
    assert row.split("  ")[0] == "acme"
    assert str(count) in row.split()
    assert f"Documents to return: {count}, Errors: 0. Nothing was changed." in would
    did = run_text(capsys, "rollback", "acme").splitlines()[0]
    assert "returned" in did
    assert "this run" in did
    assert "to return" not in did
