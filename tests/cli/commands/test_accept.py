"""`rehouse accept`: after a rollback."""

from __future__ import annotations

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room


def test_accept_after_a_rollback_tells_what_is_left(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    run_text(capsys, "migrate", "acme")
    run_text(capsys, "rollback", "acme")
    for each in "ab":
        room.put(f"documents/{each}/{each}.txt", b"late, at home", bucket=room.home())
        room.put(f"k/{each}", b"in its place")
    run_text(capsys, "rollback", "acme", status=1)
    printed = run_text(capsys, "accept", "acme", "a", "--reason", "it is right", status=1)
    assert printed.startswith("accepted: a")
    assert "Documents returned: 2 (this run: 0), Errors: 1" in printed
    assert run_json(capsys, "accept", "acme", "b", "--reason", "it is right")["documents_returned"] == 2
