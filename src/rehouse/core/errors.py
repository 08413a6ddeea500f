"""Every error of rehouse, classified by what its reader does next.

`TryAgain`: run the same command again. `Refused`: change something first (input, settings, rights). `Halt`: a person must
investigate before rehouse continues. The message names the subject, the `hint` says what to do. An object that fails does not
raise one of these errors: its failure is data (`CopyOutcome.fault`).
"""

from __future__ import annotations

from rehouse.core.exit_status import ExitStatus


class RehouseError(Exception):
    """The base class.

    `message` names the subject, `hint` says what to do, `exit_status` is the exit status of the process.
    """

    exit_status: ExitStatus = ExitStatus.LEFT

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TryAgain(RehouseError):
    """A temporary problem, such as another operator's lock or repeated 503s.

    Running the same command again continues.
    """


class Refused(RehouseError):
    """Wrong input, settings or rights. rehouse changed nothing, and you have to correct them first."""

    exit_status = ExitStatus.REFUSED


class Halt(RehouseError):
    """Something contradicts what must always be true; continuing could do harm."""


class ConfigurationError(Refused):
    """A setting is missing, unknown or malformed."""


class DatabaseRefused(Refused):
    """PostgreSQL cannot be used: unreachable, wrong password, a connection pooler, row security, a missing column."""


class StorageRefused(Refused):
    """S3 refuses access: credentials, rights, a missing bucket, an unreachable endpoint.

    `code` is S3's error code.
    """

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class StorageUnavailable(TryAgain):
    """S3 kept failing after every retry. `code` is the last error code."""

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class Interrupted(TryAgain):
    """SIGINT or SIGTERM. rehouse finished and saved the requests that were in flight."""

    exit_status = ExitStatus.INTERRUPTED
