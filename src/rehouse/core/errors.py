"""Every error of rehouse, classified by what its reader does next.

`TryAgain`: run the same command again. `Refused`: change something first (input, settings, rights). `Halt`: somebody must
look before anything goes on. Each names its subject in the message and carries a `hint`, the way out. An object that
fails is no error of this tree: it is data (`CopyOutcome.fault`).
"""

from __future__ import annotations

from rehouse.core.exit_status import ExitStatus


class RehouseError(Exception):
    """The root of the tree. `message` names the subject, `hint` the way out; `exit_status` is the process's."""

    exit_status: ExitStatus = ExitStatus.LEFT

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TryAgain(RehouseError):
    """Something passing: another operator's lock, an endpoint that kept answering 503. The same command goes on."""


class Refused(RehouseError):
    """Wrong input, settings or rights: nothing was changed, and nothing will be until it is put right."""

    exit_status = ExitStatus.REFUSED


class Halt(RehouseError):
    """What was found contradicts what must hold; going on could do harm."""


class ConfigurationError(Refused):
    """A setting is missing, unknown or malformed."""


class DatabaseRefused(Refused):
    """PostgreSQL cannot be used as it is: unreachable, a wrong password, a pooler, row security, a missing column."""


class StorageRefused(Refused):
    """S3 refuses us: credentials, rights, a missing bucket, an endpoint that cannot be reached. `code` is S3's."""

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class StorageUnavailable(TryAgain):
    """S3 kept failing after every retry. `code` is S3's last one."""

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class Interrupted(TryAgain):
    """SIGINT or SIGTERM: what was under way is drained and saved."""

    exit_status = ExitStatus.INTERRUPTED
