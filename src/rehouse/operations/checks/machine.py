"""Check the machine that rehouse runs on: whether the file of REHOUSE_LOG_FILE can be written. Creates nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rehouse.config import Settings
from rehouse.operations.checks.check import Check, failure, ok

LOG_FILE = "machine: log file"
HINT = (
    "create its folder, allow writing to it, or set REHOUSE_LOG_FILE to another file: without its log no command starts"
)


def check_machine(settings: Settings) -> Iterator[Check]:
    """Yield the check of the log file, if one is set."""
    if settings.log_file is not None:
        yield _log_file(settings.log_file)


def _log_file(path: Path) -> Check:
    if path.exists() and not path.is_file():
        return failure(LOG_FILE, f"{path} is not a file", HINT)
    if not path.parent.is_dir():
        return failure(LOG_FILE, f"the folder {path.parent} does not exist", HINT)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return failure(LOG_FILE, f"{path} is not writable", HINT)
    return ok(LOG_FILE, f"{path} can be written")
