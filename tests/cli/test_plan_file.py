"""The file of a saved plan: whole or not at all, for its owner only, and nothing else is overwritten."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rehouse.cli import plan_file
from rehouse.core.errors import ConfigurationError
from rehouse.core.saved_plan import Database, SavedPlan, as_json

PLAN = SavedPlan(datetime(2026, 11, 1, tzinfo=UTC), Database("app"), ("shared",), {}, ())
OLDER = as_json(PLAN).replace('"schema_version": 1', '"schema_version": 0')


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_saved_plan_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan_file.save(path, PLAN)
    assert plan_file.read(path) == PLAN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["plan.json"]


@pytest.mark.parametrize("before", [as_json(PLAN), OLDER])
def test_a_plan_is_replaced_through_a_symbolic_link(tmp_path: Path, before: str) -> None:
    real, link = tmp_path / "real.json", tmp_path / "plan.json"
    real.write_text(before)
    link.symlink_to(real)
    plan_file.save(link, PLAN)
    assert link.is_symlink()
    assert plan_file.read(real) == PLAN
    assert stat.S_IMODE(real.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"my notes", b'{"tenants": []}', b"\xff\xfe", b"[" * 100_000])
def test_another_file_is_never_overwritten(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"not a plan of rehouse|cannot be written"):
        plan_file.save(path, PLAN)
    assert path.read_bytes() == content
    assert names(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (".", "not a plan"),
        ("nowhere/plan.json", "there is no folder"),
        ("file/plan.json", "Not a directory"),
        ("pipe", "not a plan"),
        ("circle", "cannot be written"),
        ("x" * 300, "File name too long"),
        ("/proc/plan.json", "cannot be written"),
    ],
)
def test_an_unusable_path_is_refused_with_the_reason(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "file").write_text(as_json(PLAN))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    before = names(tmp_path)
    with pytest.raises(ConfigurationError, match=told):
        plan_file.save(tmp_path / name, PLAN)
    assert names(tmp_path) == before


def test_a_full_disk_leaves_the_former_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    path.write_text(OLDER)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="No space left on device"):
        plan_file.save(path, PLAN)
    assert (path.read_text(), names(tmp_path)) == (OLDER, ["plan.json"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"\xff\xfe", "it is not a plan of rehouse"),
        (b"my notes", "it is not a plan of rehouse"),
        (OLDER.encode(), "its schema version is 0, and this rehouse reads 1"),
        (as_json(PLAN)[:-9].encode(), "it is not a plan of rehouse"),
        (as_json(PLAN).replace("shared_buckets", "x").encode(), "it is damaged: shared_buckets is missing"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "my plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told) as raised:
        plan_file.read(path)
    assert str(path) in raised.value.message
    assert raised.value.hint == f"`rehouse plan --save '{path}'` saves the plan"
