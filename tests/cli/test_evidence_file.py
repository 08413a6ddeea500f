"""The file of the evidence: whole or not at all, for its owner only, and never over another file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from rehouse.cli.evidence_file import refuse_unwritable, save
from rehouse.core.errors import ConfigurationError


def test_evidence_is_written_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    refuse_unwritable(file)
    save(file, {"b": ["ü", "\u202e"], "a": 1})
    assert json.loads(file.read_text(encoding="utf-8")) == {"b": ["ü", "\u202e"], "a": 1}
    assert "\u202e" not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_is_overwritten(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "evidence.json"
    make = {
        "file": lambda: file.write_text("mine"),
        "folder": file.mkdir,
        "dangling link": lambda: file.symlink_to("no"),
    }
    make[kind]()
    for attempt in (lambda: refuse_unwritable(file), lambda: save(file, {})):
        with pytest.raises(ConfigurationError, match="evidence is never overwritten"):
            attempt()
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no folder") as refusal:
        refuse_unwritable(tmp_path / "no" / "evidence.json")
    assert refusal.value.subject == str(tmp_path / "no" / "evidence.json")


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "evidence.json"
    monkeypatch.setattr("rehouse.cli.evidence_file.refuse_unwritable", lambda path: file.write_text("theirs"))
    with pytest.raises(ConfigurationError, match="File exists"):
        save(file, {})
    assert file.read_text(encoding="utf-8") == "theirs"
    assert list(tmp_path.iterdir()) == [file]
