"""The file of a command's evidence. It is written completely or not at all, only its owner can read it, and it replaces nothing."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from rehouse.core.errors import ConfigurationError
from rehouse.core.escaping import escape_json

HINT = "name another file for --evidence"


def refuse_unwritable(path: Path) -> None:
    """Raise ConfigurationError if the evidence cannot be written to this path. Changes nothing."""
    folder = path.absolute().parent
    if os.path.lexists(path):
        raise _error(path, "it exists, and evidence is never overwritten")
    if not folder.is_dir():
        raise _error(path, f"there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _error(path, f"the folder {folder} is not writable")


def save(path: Path, evidence: object) -> None:
    """Write the evidence as JSON, completely or not at all. Raises ConfigurationError if that is not possible."""
    refuse_unwritable(path)
    made: str | None = None
    try:
        descriptor, made = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name[:50]}.")  # of mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(escape_json(json.dumps(evidence, indent=1, ensure_ascii=False)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(made, path)  # fails if there is a file by now
    except OSError as error:
        raise _error(path, error.strerror or str(error)) from None
    finally:
        if made:
            with suppress(FileNotFoundError):
                Path(made).unlink()


def _error(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be written: {reason}", hint=HINT, subject=str(path))
