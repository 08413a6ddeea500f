"""`rehouse migrate` and `migrate-all`: late writes, conflicts, only what failed, and the hint of the next command."""

from __future__ import annotations

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room


def test_late_writes_are_counted_and_conflicts_end_with_1(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    run_text(capsys, "migrate", "acme")
    room.put("k/a", b"late")
    assert run_json(capsys, "migrate", "acme")["tenants"][0]["late_writes"] == 1
    room.put("documents/b/b.txt", b"at home", bucket=room.home())
    room.put("k/b", b"late")
    printed = run_text(capsys, "migrate-all", status=1)
    assert "Conflict: compare the two" in printed
    assert run_text(capsys, "accept", "acme", "b", "--reason", "the newer one").startswith("accepted: b")
    assert "Nothing was left to move." in run_text(capsys, "migrate-all")


def test_only_failed_needs_no_code_and_a_code_needs_it(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.row("lost", "k/lost", bucket=room.shared)
    run_text(capsys, "migrate", "acme", status=3)
    for command in (("migrate", "acme"), ("migrate-all",)):
        run_text(capsys, *command, "--code", "missing_object", status=2)
        run_text(capsys, *command, "--code", "missing_object", "--dry-run", status=2)
        run_text(capsys, *command, "--only-failed", "--dry-run", status=2)
        run_text(capsys, *command, "--only-failed", "--code", "missing-object", status=2)
    room.put("k/lost", b"found")
    assert run_json(capsys, "migrate-all", "--only-failed", "--code", "missing_object")["this_run"] == 1


def test_verified_says_how_to_go_on_rollback_the_way_out(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Next: rehouse cutover acme" in run_text(capsys, "migrate", "acme", "--until", "verified")
    assert "nothing is switched yet" not in run_text(capsys, "cutover", "acme")
    room.put("documents/b/b.txt", b"at home", bucket=room.home())
    room.put("k/b", b"late")
    assert "  Conflict: compare the two" in run_text(capsys, "rollback", "acme", status=1)
    shown = run_text(capsys, "status", "acme")
    assert "could not be returned:" in shown
    assert "  Conflict: compare the two" in shown
