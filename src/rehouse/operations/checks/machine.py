"""The machine that rehouse runs on: can the log be written that REHOUSE_LOG_FILE asks for? Nothing is made to find out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from rehouse.config import Settings
from rehouse.operations.checks.check import Check, failure, ok

LOG_FILE = "machine: log file"
HINT = "make its folder, free it, or point REHOUSE_LOG_FILE elsewhere: every command refuses to begin without its log"


def check_machine(settings: Settings) -> Iterator[Check]:
    """Yield the check of the log file, where one is asked for."""
    if settings.log_file is not None:
        yield _log_file(settings.log_file)


def _log_file(path: Path) -> Check:
    if path.exists() and not path.is_file():
        return failure(LOG_FILE, f"{path} is no file", HINT)
    if not path.parent.is_dir():
        return failure(LOG_FILE, f"the folder {path.parent} does not exist", HINT)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return failure(LOG_FILE, f"{path} may not be written", HINT)
    return ok(LOG_FILE, f"{path} can be written")
