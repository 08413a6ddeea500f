"""The log: lines on a file that only its owner may read, if REHOUSE_LOG_FILE names one."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rehouse import __version__
from rehouse.core.errors import ConfigurationError

FORMAT = "%(asctime)s %(levelname)s %(message)s"
log = logging.getLogger("rehouse")


@contextmanager
def logging_to(path: Path | None) -> Iterator[None]:
    """Log to `path` for a while; raise ConfigurationError, before anything else happens, if it cannot be written."""
    if path is None:
        yield
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        stream = os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)
        stream.write("")
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter(FORMAT))
        stream.write(f"rehouse {__version__} begins: {' '.join(sys.argv[1:2])}\n")
        stream.flush()
    except OSError as error:
        raise ConfigurationError(
            f"the log {path} cannot be written: {error.strerror}",
            hint="free space, or point REHOUSE_LOG_FILE elsewhere; nothing was changed",
        ) from None
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        stream.close()
