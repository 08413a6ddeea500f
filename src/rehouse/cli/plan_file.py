"""The file of a saved plan. It is written completely or not at all, only its owner can read it, and it replaces only a plan."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from shlex import quote

from rehouse.core.errors import ConfigurationError
from rehouse.core.saved_plan import SavedPlan, as_json, from_json, is_plan

LARGEST = 256 * 1024**2
"""The size limit of a plan in bytes, enough for a million tenants."""


def refuse_unwritable(path: Path) -> None:
    """Raise ConfigurationError if a plan cannot be saved at this path. Changes nothing."""
    hint = "name another file for --save"
    try:
        folder = path.resolve().parent
        found = _text_of(path)
    except FileNotFoundError:
        if not folder.is_dir():
            raise ConfigurationError(
                f"{path} cannot be written: there is no folder {folder}", hint=hint, subject=str(path)
            ) from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: symbolic links in a circle
        raise ConfigurationError(f"{path} cannot be written: {_reason(error)}", hint=hint, subject=str(path)) from None
    else:
        if not is_plan(found):
            raise ConfigurationError(
                f"{path} exists and is not a plan of rehouse: it is not overwritten", hint=hint, subject=str(path)
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"{path} cannot be written: the folder {folder} is not writable", hint=hint, subject=str(path)
        )


def save(path: Path, plan: SavedPlan) -> None:
    """Write a plan, completely or not at all. Raises ConfigurationError if that is not possible."""
    refuse_unwritable(path)
    target = path.resolve()  # a symbolic link stays one
    made: str | None = None
    try:
        descriptor, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:50]}.")  # of mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(as_json(plan))
            file.flush()
            os.fsync(file.fileno())
        Path(made).replace(target)
    except BaseException as error:
        if made:
            with suppress(FileNotFoundError):
                Path(made).unlink()
        if not isinstance(error, OSError):
            raise
        hint = "name another file for --save"
        raise ConfigurationError(f"{path} cannot be written: {_reason(error)}", hint=hint, subject=str(path)) from None


def read(path: Path) -> SavedPlan:
    """Read the plan from a file. Raises ConfigurationError if the file has no plan that this version can read."""
    hint = f"`rehouse plan --save {quote(str(path))}` saves the plan"
    try:
        return from_json(_text_of(path))
    except UnicodeDecodeError:
        raise ConfigurationError(
            f"{path} cannot be used: it is not a plan of rehouse", hint=hint, subject=str(path)
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"{path} cannot be used: {error}", hint=hint, subject=str(path)) from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {_reason(error)}", hint=hint, subject=str(path)) from None


def _text_of(path: Path) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
        raise ValueError("it is not a plan of rehouse")
    return path.read_text(encoding="utf-8")


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
