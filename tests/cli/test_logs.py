"""The log of a command ends with the requests that it sent to S3."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.support.data_room import Room

from rehouse.cli.logs import count_logged_requests, log_requests, log_to
from rehouse.cli.main import main


def test_a_migration_logs_its_requests(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REHOUSE_LOG_FILE", str(tmp_path / "log"))
    [(slug,)] = room.connection.execute("SELECT slug FROM tenants").fetchall()
    assert main(["migrate", slug]) == 0
    first = count_logged_requests(tmp_path / "log")
    assert first["copy"] >= 2
    assert first["CreateBucket"] >= 1
    assert main(["migrate", slug]) == 0
    again = count_logged_requests(tmp_path / "log") - first
    assert again.total() > 0
    assert again["copy"] == 0


def test_what_is_logged_is_read_again(tmp_path: Path) -> None:
    with log_to(tmp_path / "log"):
        log_requests(Counter(copy=1000, PutObject=2))
        log_requests({})
        log_requests(Counter(copy=1))
    assert count_logged_requests(tmp_path / "log") == {"copy": 1001, "PutObject": 2}
    assert "INFO requests: none\n" in (tmp_path / "log").read_text()
