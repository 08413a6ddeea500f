"""`--notify COMMAND`: run a command of the operator when the work has ended, however it ended.

The command goes to a shell as the operator typed it. rehouse passes data, which includes names of tenants, only through the
command's standard input and environment variables, so no name can become part of the command.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from rehouse.cli.output import say_aside
from rehouse.cli.process import handle_signals
from rehouse.core.escaping import escape_json

SECONDS = 60.0
"""How long the command may take."""


def notify(command: str, envelope: Mapping[str, Any]) -> None:
    """Run the command with the envelope on its standard input. If it fails, print a warning on stderr; nothing else changes."""
    problem = _run(command, envelope)
    if problem:
        say_aside(f"the command of --notify {problem}", label="Warning: ")


def _run(command: str, envelope: Mapping[str, Any]) -> str | None:
    from rehouse.config import NOTIFY_VARIABLES

    values = (envelope["command"], envelope["exit_status"], envelope["run_id"])
    told = {name: "" if value is None else str(value) for name, value in zip(NOTIFY_VARIABLES, values, strict=True)}
    running = _Running(command, os.environ | told)
    with handle_signals(running.interrupt):
        return running.run(escape_json(json.dumps(envelope, ensure_ascii=False)) + "\n")


class _Running:
    """The operator's command while it runs. SIGINT and SIGTERM end the command, not this process."""

    def __init__(self, command: str, environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._is_interrupted = False

    def run(self, told: str) -> str | None:
        """Run the command with this text on its standard input; return what went wrong, or None."""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the operator's own; data goes by stdin and environment
                ["/bin/sh", "-c", self._command],
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=2,  # on stderr: stdout is the report's
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be run: {error.strerror}"
        if self._is_interrupted:
            self._kill()
        try:
            self._process.communicate(told.encode(), timeout=SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            return f"took longer than {SECONDS:.0f} seconds and was ended"
        finally:
            self._process.wait()
        status = self._process.returncode
        return "was interrupted" if self._is_interrupted else f"ended with status {status}" if status else None

    def interrupt(self, _number: int, _frame: object) -> None:
        """End the command, now or as soon as it has begun."""
        self._is_interrupted = True
        self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.killpg(self._process.pid, signal.SIGKILL)  # the shell's children too
