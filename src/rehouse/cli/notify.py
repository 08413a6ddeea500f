"""`--notify COMMAND`: runs a command of the operator's when the work has ended, however it ended.

The command is the operator's own words and goes to a shell as it was typed. What rehouse tells it (names of tenants among it) goes
by its standard input and by environment variables only, so no name can become a part of the command.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rehouse.core.escaping import escape_json

SECONDS = 60.0
"""How long the command may take."""


def notify(command: str, envelope: Mapping[str, Any]) -> None:
    """Run the command with the envelope on its standard input. If it fails, print a warning on stderr: it changes nothing else."""
    problem = _run(command, envelope)
    if problem:
        print(f"Warning: the command of --notify {problem}", file=sys.stderr)


def _run(command: str, envelope: Mapping[str, Any]) -> str | None:
    from rehouse.config import NOTIFY_VARIABLES

    values = (envelope["command"], envelope["exit_status"], envelope["run_id"])
    told = {name: "" if value is None else str(value) for name, value in zip(NOTIFY_VARIABLES, values, strict=True)}
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends the command, and not this process
    try:
        return _communicate(command, os.environ | told, escape_json(json.dumps(envelope, ensure_ascii=False)) + "\n")
    except KeyboardInterrupt:
        return "was interrupted"
    finally:
        signal.signal(signal.SIGTERM, before)


def _communicate(command: str, environment: Mapping[str, str], told: str) -> str | None:
    try:
        process = subprocess.Popen(  # noqa: S603 - the operator's own command; data goes by stdin and environment
            ["/bin/sh", "-c", command],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=2,  # on stderr: stdout is the report's
            start_new_session=True,
        )
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    try:
        process.communicate(told.encode(), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        _end(process)
        return f"took longer than {SECONDS:.0f} seconds and was ended"
    except KeyboardInterrupt:
        _end(process)
        raise
    return f"ended with status {process.returncode}" if process.returncode else None


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(process.pid, signal.SIGKILL)  # the shell's children too
    process.wait()
