"""The log: lines in a file that only its owner may read, if REHOUSE_LOG_FILE names one."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rehouse import __version__
from rehouse.cli import output
from rehouse.core.errors import ConfigurationError, RehouseError
from rehouse.core.escaping import escape_json, escape_to_one_line

if TYPE_CHECKING:
    from rehouse.config import Settings

FORMAT = "%(asctime)s %(levelname)s %(message)s"
log = logging.getLogger("rehouse")
SHOWN = {"is_shown": True}
"""Marks lines of the log that stderr shows in another form."""


class _Lines(logging.StreamHandler[TextIO]):
    """Prints once that the log can no longer be written; the run continues without it."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line, so that no key or name in it can look like another line."""
        return escape_to_one_line(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        log.removeHandler(self)
        output.say_aside("the log can no longer be written (is its disk full?): continuing without it")


class _OnStderr(logging.StreamHandler[TextIO]):
    """Writes to the present sys.stderr: progress bars replace it, so that lines appear above them."""

    @property
    def stream(self) -> TextIO:
        """Return stderr."""
        return sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        pass

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, escaped as in the file; or a JSON line of the type `log`."""
        if output.style.has_json_lines:
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            told = {"type": "log", "at": at, "level": record.levelname, "message": record.getMessage()}
            return escape_json(json.dumps(told, ensure_ascii=False))
        return escape_to_one_line(super().format(record))


@contextmanager
def log_to_stderr(level: int = logging.DEBUG) -> Iterator[None]:
    """Print the lines of the log from `level` on stderr during the block, except those that stderr shows anyway."""
    handler = _OnStderr()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(lambda record: not hasattr(record, "is_shown"))
    log.setLevel(level)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


@contextmanager
def log_to(path: Path | None) -> Iterator[None]:
    """Log to `path` during the block. Raises ConfigurationError, before anything else happens, if it cannot be written."""
    if path is None:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        stream = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
        stream.write("")
        handler = _Lines(stream)
        handler.setFormatter(logging.Formatter(FORMAT))
        stream.write(f"rehouse {__version__} begins: {' '.join(sys.argv[1:2])}\n")
        stream.flush()
    except OSError as error:
        raise ConfigurationError(
            f"the log {path} cannot be written: {error.strerror}",
            hint="free space, create its folder, or set REHOUSE_LOG_FILE to another file; nothing was changed",
            subject="log_file",
        ) from None
    handler.setLevel(logging.INFO)
    log.setLevel(min(log.level or logging.INFO, logging.INFO))
    log.addHandler(handler)
    try:
        yield
    except RehouseError as error:
        log.error("%s", error.message, extra=SHOWN)  # noqa: TRY400 - its reader needs no traceback
        raise
    finally:
        log.removeHandler(handler)
        with suppress(OSError):  # the disk filled up meanwhile, and that was printed when it happened
            stream.close()


def log_settings(settings: Settings) -> None:
    """Log the settings that are not the defaults and where they come from, secrets masked."""
    from rehouse.config import DEFAULT, effective_settings

    for name, value, origin in effective_settings(settings):
        if origin != DEFAULT:
            log.debug("setting %s = %s (%s)", name, value, origin)


def log_requests(requests: Mapping[str, int]) -> None:
    """Log how many requests a command sent to S3, including retries, by kind or operation."""
    log.info("requests: %s", ", ".join(f"{kind} {count}" for kind, count in sorted(requests.items())) or "none")


def count_logged_requests(path: Path) -> Counter[str]:
    """Return the requests to S3 of all commands that wrote to this log."""
    lines = re.findall(r" INFO requests: (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    found: Counter[str] = Counter()
    for kind, count in re.findall(r"(\w+) (\d+)", "\n".join(lines)):
        found[kind] += int(count)
    return found
