"""The envelope: the one JSON object that a command with `--output json` prints as soon as its exit status is known.

The command prints it in every case, also if it is refused or interrupted. docs/api.md describes it.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rehouse.core.errors import ErrorCode, Failure

SCHEMA_VERSION = 1
"""The version. It increases when a key changes its meaning or is removed, not when a key is added."""


@dataclass
class Ending:
    """The data for the envelope: the command line of this process, its report and its errors."""

    is_json: bool = False
    is_stream: bool = False
    command: str | None = None
    run_id: str | None = None
    result: object = None
    errors: list[Failure] = field(default_factory=list)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _begun_at: float = field(default_factory=time.monotonic)

    def begin_command(self, name: str | None, *, is_json: bool) -> None:
        """Record which command runs, and whether it prints the envelope."""
        self.command, self.is_json = name, is_json

    def begin_run(self, run_id: str) -> None:
        """Record the run id that the ledger uses for this command."""
        self.run_id = run_id

    def report(self, result: object, failures: Iterable[Failure] = ()) -> None:
        """Record the command's report, and the errors that ended the work on some tenants early."""
        self.result = result
        self.errors += failures

    def refuse(self, failure: Failure) -> None:
        """Record the error that ended the command, which then has no result."""
        self.result = None
        self.errors.append(failure)

    def envelope(self, exit_status: int) -> dict[str, Any]:
        """Return the envelope. Times are UTC; `elapsed_seconds` runs from the start of the command to this call."""
        from rehouse.cli.output import to_json_types

        return {
            "schema_version": SCHEMA_VERSION,
            "command": self.command,
            "run_id": self.run_id,
            "started_at": self.started_at.isoformat(timespec="milliseconds"),
            "elapsed_seconds": round(time.monotonic() - self._begun_at, 3),
            "exit_status": int(exit_status),
            "result": to_json_types(self.result),
            "errors": to_json_types(self.errors),
        }

    def print_envelope(self, exit_status: int) -> None:
        """Print the envelope on stdout if JSON was asked for. A stream gets it as its last line, and only if there are errors."""
        if not self.is_json:
            return
        from rehouse.cli.output import print_json

        if not self.is_stream:
            print_json(self.envelope(exit_status))
        elif self.errors:
            print_json({"type": "end", **self.envelope(exit_status)}, indent=None)


ending = Ending()
"""The ending of the command line that runs in this process; `main` makes a new one for each command line."""


def wants_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for a report in JSON; used if it cannot be parsed.

    >>> wants_json(["plan", "--output", "json"]), wants_json(["plan", "-ojson", "--orphan"])
    (True, True)
    >>> wants_json(["plan", "-o", "text"]), wants_json(["accept", "acme", "--", "-o", "json"])
    (False, False)
    """
    return _has_json(arguments, "--output", "-o") or "-ojson" in _options(arguments)


def wants_json_lines(arguments: Sequence[str]) -> bool:
    """Return whether a command line asks for JSON lines on standard error, for one that cannot be parsed.

    >>> wants_json_lines(["plan", "--progress=json"]), wants_json_lines(["plan", "--output", "json"])
    (True, False)
    """
    return _has_json(arguments, "--progress")


def _has_json(arguments: Sequence[str], *options: str) -> bool:
    words = _options(arguments)
    return any(f"{option}=json" in words for option in options) or any(
        word in options and value == "json" for word, value in itertools.pairwise(words)
    )


def _options(arguments: Sequence[str]) -> list[str]:
    """Return the part of a command line that may have options."""
    return list(arguments[: arguments.index("--")] if "--" in arguments else arguments)


def internal_error(error: Exception) -> Failure:
    """Return the failure for an exception that is a bug. Only the traceback has its text, which may hold anything."""
    return Failure(
        ErrorCode.INTERNAL_ERROR,
        None,
        f"internal error: {type(error).__name__}",
        "this is a bug in rehouse: report it with the traceback on standard error",
    )
