"""`rehouse cutover`: with a canary."""

from __future__ import annotations

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room


def test_cutover_with_a_canary(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    run_text(capsys, "cutover", "acme", status=2)
    run_text(capsys, "migrate", "acme", "--until", "verified")
    report = run_json(capsys, "cutover", "acme", "--canary", "1")
    assert (report["this_run"], report["tenants"][0]["phase"]) == (2, "cut_over")
    assert sum(note.startswith("canary: 1 document was read in full") for note in report["tenants"][0]["notes"]) == 2
