"""The folder of a sandbox: new or empty, tested before a server starts, and emptied at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rehouse.core.errors import Refused
from rehouse.sandbox.account import private_folder

HINT = "choose a new or an empty folder in which you may write, such as --folder /tmp/sandbox"


def choose_folder(wanted: Path | None) -> Path:
    """Return the absolute path of the given folder, or of a new temporary one. Creates nothing yet."""
    try:
        return (wanted or Path(tempfile.gettempdir()) / f"rehouse-sandbox-{secrets.token_hex(4)}").absolute()
    except FileNotFoundError as error:  # no usable TMPDIR, or the current folder was removed
        raise Refused(f"there is no folder for the sandbox: {error.strerror}", hint=HINT) from None


def is_new(folder: Path) -> bool:
    """Return whether the folder must be created. Raises Refused if it is not empty or not a folder."""
    with refuse_unusable(folder):
        if not os.path.lexists(folder):
            return True
        if folder.is_dir() and not any(folder.iterdir()):
            return False
    raise Refused(f"{folder} is not an empty folder", hint=HINT, subject=str(folder))


def prepare_folder(folder: Path) -> None:
    """Create the folder if it is missing, and write a test file. Raises Refused if that fails."""
    with refuse_unusable(folder):
        if not folder.exists():
            private_folder(folder)
        tempfile.TemporaryFile(dir=folder).close()


def remove_files(folder: Path, *, everything: bool) -> None:
    """Remove all files in the folder; with `everything` the folder as well."""
    if everything:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def refuse_unusable(folder: Path) -> Iterator[None]:
    """Turn an error of the file system below `folder` into Refused, with the reason; other errors pass."""
    try:
        yield
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError) or not _is_about(error, folder):
            raise
        reason = error.strerror or str(error)
        raise Refused(f"the folder {folder} cannot be used: {reason}", hint=HINT, subject=str(folder)) from None


def _is_about(error: OSError, folder: Path) -> bool:
    if not isinstance(error.filename, str | os.PathLike):
        return True  # such as a full disk, while a file is being written
    named = Path(error.filename)
    return named.is_relative_to(folder) or folder.is_relative_to(named)
