"""A folder that a sandbox cannot use is refused with exit status 2 and the reason, and nothing is left of the attempt."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehouse.cli.main import main
from rehouse.core.errors import Refused
from rehouse.sandbox.folder import choose_folder, prepare_folder, refuse_unusable, remove_files
from rehouse.sandbox.postgres import PostgresServer


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a file, a folder in use, and a link that leads nowhere."""
    (tmp_path / "file").touch()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "something").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file/x", "cannot be used: Not a directory"),
        ("file/x/y", "cannot be used: Not a directory"),
        ("/proc/x", "cannot be used: No such file or directory"),
        ("/proc/x/y", "cannot be used: No such file or directory"),
        ("x" * 300, "cannot be used: File name too long"),
        ("file", "is not an empty folder"),
        ("used", "is not an empty folder"),
        ("nowhere", "is not an empty folder"),
        ("/dev/null", "is not an empty folder"),
    ],
)
def test_an_unusable_folder_is_refused(place: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.rglob("*"))
    assert main(["sandbox", "--folder", str(place / name)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{place / name} {reason}" in said.err
    assert "Hint:  choose a new or an empty folder" in said.err
    assert sorted(place.rglob("*")) == before


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, mounted for this test."""
    folder = tmp_path / "mount"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    tmp_path.chmod(0o711)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_cannot_be_written_is_refused(mount: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
    assert main(["sandbox", "--folder", str(mount)]) == 2
    assert "cannot be used: Read-only file system" in capsys.readouterr().err


def test_a_folder_without_room_is_refused(mount: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--folder", str(mount)]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list(mount.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(Refused, match="Permission denied"):
        prepare_folder(tmp_path / "closed")


def test_what_initdb_complains_about_is_the_reason(servers_folder: Path) -> None:
    server = PostgresServer(servers_folder / "taken")
    (server.folder / "data").mkdir(parents=True)
    (server.folder / "data" / "something").touch()
    with pytest.raises(Refused, match=r"taken: initdb: error: directory .* exists but is not empty"):
        server.start()


def test_errors_about_other_files_and_the_network_pass(tmp_path: Path) -> None:
    for error in (FileNotFoundError(errno.ENOENT, "No such file", "/bin/postgres"), ConnectionResetError()):
        with pytest.raises(type(error)), refuse_unusable(tmp_path):
            raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), shutil.Error(["copies failed"])])
def test_errors_that_name_no_file_are_the_folder_s(tmp_path: Path, error: OSError) -> None:
    with pytest.raises(Refused, match=r"cannot be used: .*(No space|copies failed)"), refuse_unusable(tmp_path):
        raise error


def test_no_temporary_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", fail)
    with pytest.raises(Refused, match="No usable temporary directory"):
        choose_folder(None)


def test_a_folder_that_went_meanwhile_is_no_error(tmp_path: Path) -> None:
    remove_files(tmp_path / "gone", everything=False)
    remove_files(tmp_path / "gone", everything=True)
