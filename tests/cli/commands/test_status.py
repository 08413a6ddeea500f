"""`rehouse status --errors`: as text, JSON and CSV."""

from __future__ import annotations

import csv
import io

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room


def test_errors_as_csv_json_and_text(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    room.row("lost", "k/lost", bucket=room.shared)
    run_text(capsys, "migrate", "acme", status=3)
    [row] = csv.DictReader(io.StringIO(run_text(capsys, "status", "acme", "--errors", "--output", "csv")))
    assert (row["document_id"], row["code"]) == ("lost", "missing_object")
    [told] = run_json(capsys, "status", "--errors")["outstanding"]
    [item] = run_json(capsys, "status", "acme")["outstanding"]
    assert told == {"slug": "acme", "tenant_id": 1, **item, "hint": row["hint"]}
    assert [row["bucket"], row["key"]] == [item["source"]["bucket"], item["source"]["key"]]
    assert "hint: restore the object" in run_text(capsys, "status", "acme", "--errors")
    run_text(capsys, "status", "acme", "--output", "csv", status=2)


def test_no_cell_of_the_csv_is_a_formula(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    keys = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'quoted", "k/=1")
    for number, key in enumerate(keys):
        room.row(f"lost{number}", key, bucket=room.shared)
    run_text(capsys, "migrate", "acme", status=3)
    rows = csv.DictReader(io.StringIO(run_text(capsys, "status", "--errors", "--output", "csv"), newline=""))
    assert [row["key"] for row in rows] == [f"'{key}" for key in keys[:-2]] + list(keys[-2:])
    assert [each["source"]["key"] for each in run_json(capsys, "status", "--errors")["outstanding"]] == list(keys)


def test_tenants_have_one_order_everywhere(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    for slug in ("umbra", "Initech_GmbH", "globex", "Ärger", "zebra"):
        room.tenant(slug)
        room.documents(f"of-{slug}", slug=slug)
    room.sql("UPDATE tenants SET name = 'A' WHERE slug = 'zebra'")
    expected = ["acme", "globex", "Initech_GmbH", "umbra", "zebra", "Ärger"]
    for command in (["plan"], ["migrate-all"], ["verify-all"], ["status"], ["rollback", "--all", "--dry-run"]):
        assert [each["slug"] for each in run_json(capsys, *command)["tenants"]] == expected, command
