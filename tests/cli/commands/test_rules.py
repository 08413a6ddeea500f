"""`rehouse rules`: text and JSON, without a database and without S3; `plan` names the command."""

from __future__ import annotations

import pytest
from tests.support.command_line import run_json, run_text
from tests.support.data_room import Room


def test_the_rules_need_no_server(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REHOUSE_SHARED_BUCKET", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REHOUSE_MAPPING_DOCUMENTS_TABLE", "app.files")
    monkeypatch.setenv("REHOUSE_MAPPING_DOCUMENTS_S3_KEY", "blob_key")
    printed = run_text(capsys, "rules")
    assert "1. Read s3_bucket and blob_key from the row in app.files for every download." in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 100
    made = run_json(capsys, "rules")
    assert (len(made["rules"]), made["columns"]["documents.s3_key"]) == (5, "app.files.blob_key")


def test_the_plan_names_the_rules_and_prints_none(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    assert room.shared
    printed = run_text(capsys, "plan")
    assert "What the application must do while tenants move: rehouse rules" in printed
    assert "presigned" not in printed
    assert "application_rules" not in run_json(capsys, "plan")
