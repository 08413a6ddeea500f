"""Every error of rehouse, classified by what its reader does next.

`TryAgain`: run the same command again. `Refused`: change something first (input, settings, rights). `Halt`: a person must
investigate before rehouse continues. The message names the subject, the `hint` says what to do. An object that fails does not
raise one of these errors: its failure is data (`CopyOutcome.fault`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.escaping import escape_to_one_line
from rehouse.core.exit_status import ExitStatus


class ErrorCode(StrEnum):
    """What kind of error it is. Programs read these codes: they do not change."""

    BAD_USAGE = "bad_usage"
    BAD_SETTINGS = "bad_settings"
    UNKNOWN_TENANT = "unknown_tenant"
    NOT_CONFIRMED = "not_confirmed"
    DATABASE_REFUSED = "database_refused"
    STORAGE_REFUSED = "storage_refused"
    REFUSED = "refused"
    LOCKED = "locked"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    TRY_AGAIN = "try_again"
    HALTED = "halted"
    INTERRUPTED = "interrupted"
    INTERNAL_ERROR = "internal_error"


CODE_MEANINGS = {
    ErrorCode.BAD_USAGE: "the command line is wrong: an unknown command or option, a missing or malformed value",
    ErrorCode.BAD_SETTINGS: "a setting is missing, unknown or malformed",
    ErrorCode.UNKNOWN_TENANT: "no tenant has this slug or id",
    ErrorCode.NOT_CONFIRMED: "the confirmation was not given; nothing was changed",
    ErrorCode.DATABASE_REFUSED: "PostgreSQL cannot be used: unreachable, missing rights, a missing table or column",
    ErrorCode.STORAGE_REFUSED: "S3 refuses access: credentials, rights, a missing bucket, an unreachable endpoint",
    ErrorCode.REFUSED: "any other refusal: correct what the hint names",
    ErrorCode.LOCKED: "another operator is working on the tenant",
    ErrorCode.STORAGE_UNAVAILABLE: "S3 kept failing after every retry",
    ErrorCode.TRY_AGAIN: "any other temporary problem: run the same command again",
    ErrorCode.HALTED: "something contradicts what must always be true: investigate before you continue",
    ErrorCode.INTERRUPTED: "SIGINT or SIGTERM; what was done is saved",
    ErrorCode.INTERNAL_ERROR: "a bug in rehouse; the traceback is on standard error",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as data. `subject`: what it is about, such as a tenant's slug, a bucket or `database`; None: the whole command."""

    code: ErrorCode
    subject: str | None
    message: str
    hint: str


def early_failure(slug: str, code: ErrorCode | None, message: str | None, hint: str | None) -> Failure | None:
    """Return the error that ended the work on a tenant early, as a failure, or None if there was none.

    >>> early_failure("acme", None, None, None) is None
    True
    """
    return Failure(code, slug, message or "", hint or "") if code else None


class RehouseError(Exception):
    """The base class.

    `message` names the subject, `hint` says what to do, `exit_status` is the exit status of the process. `kind` and `subject` are
    for programs.
    """

    exit_status: ExitStatus = ExitStatus.LEFT
    kind: ErrorCode
    subject: str | None = None

    def __init__(self, message: str, *, hint: str, subject: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.subject = subject or self.subject

    def as_failure(self) -> Failure:
        """Return the error as data."""
        return Failure(self.kind, self.subject, self.message, self.hint)


class TryAgain(RehouseError):
    """A temporary problem, such as another operator's lock or repeated 503s.

    Running the same command again continues.
    """

    kind = ErrorCode.TRY_AGAIN


class Locked(TryAgain):
    """Another operator is working on the same tenant or run."""

    kind = ErrorCode.LOCKED


class Refused(RehouseError):
    """Wrong input, settings or rights. rehouse changed nothing, and you have to correct them first."""

    exit_status = ExitStatus.REFUSED
    kind = ErrorCode.REFUSED


class BadUsage(Refused):
    """The command line is wrong."""

    kind = ErrorCode.BAD_USAGE
    subject = "command line"


class UnknownTenant(Refused):
    """No tenant, or more than one, has the slug or id that was given. `subject` is what was given."""

    kind = ErrorCode.UNKNOWN_TENANT


class NotConfirmed(Refused):
    """The confirmation of something that cannot be undone was not given."""

    kind = ErrorCode.NOT_CONFIRMED


class InactiveTenant(Refused):
    """The tenant exists, and its row says that it is not active. `subject` is the tenant."""


class NoSuchDocument(Refused):
    """The tenant has no document of this id, or its row has no object. `subject` is the document."""


class ForeignPointer(Refused):
    """A row points to a place that is not its tenant's. `subject` is the document."""


class BadUpload(Refused):
    """The name, size, content type or checksum of an upload is wrong. `subject` is the document, where it is known."""


class NameTaken(Refused):
    """Another file of the tenant has the name, or had it. `subject` is the key."""


class QuotaExceeded(Refused):
    """The upload would exceed a limit of the tenant's plan. `subject` is the tenant."""


class GrantUnknown(Refused):
    """The tenant has no upload grant of this id. `subject` is the grant."""


class GrantExpired(Refused):
    """The grant expired or was aborted before the upload was confirmed. `subject` is the grant."""


class NotGranted(Refused):
    """A request that was to be signed is not one of the grant's. `subject` is the grant."""


class UploadMismatch(Refused):
    """What S3 holds is not what was declared. `subject` is the grant."""


class Halt(RehouseError):
    """Something contradicts what must always be true; continuing could do harm."""

    kind = ErrorCode.HALTED


class ConfigurationError(Refused):
    """A setting is missing, unknown or malformed."""

    kind = ErrorCode.BAD_SETTINGS
    subject = "settings"


class DatabaseRefused(Refused):
    """PostgreSQL cannot be used: unreachable, wrong password, a connection pooler, row security, a missing column."""

    kind = ErrorCode.DATABASE_REFUSED
    subject = "database"


class StorageRefused(Refused):
    """S3 refuses access: credentials, rights, a missing bucket, an unreachable endpoint.

    `code` is S3's error code.
    """

    kind = ErrorCode.STORAGE_REFUSED
    subject = "storage"

    def __init__(self, message: str, *, hint: str, code: str, subject: str | None = None) -> None:
        super().__init__(message, hint=hint, subject=subject)
        self.code = code


class NoSuchObject(StorageRefused):
    """The object, version or upload does not exist. `code` is S3's, such as NoSuchKey or NoSuchUpload."""

    def __init__(self, subject: str, code: str) -> None:
        what = "version" if code == "NoSuchVersion" else "upload" if code == "NoSuchUpload" else "object"
        hint, subject = f"the {what} was deleted, or it was never there", escape_to_one_line(subject)
        super().__init__(f"{subject}: {code}: there is no such {what}", hint=hint, code=code, subject=subject)


class PreconditionFailed(StorageRefused):
    """The object is not as the condition wants it: it exists already, or it was replaced since it was read."""

    def __init__(self, subject: str, code: str = "PreconditionFailed") -> None:
        hint = "read the object again, or write to another key"
        super().__init__(
            f"{subject}: {code}: it exists already, or it was changed", hint=hint, code=code, subject=subject
        )


class StorageUnavailable(TryAgain):
    """S3 kept failing after every retry. `code` is the last error code."""

    kind = ErrorCode.STORAGE_UNAVAILABLE
    subject = "storage"

    def __init__(self, message: str, *, hint: str, code: str, subject: str | None = None) -> None:
        super().__init__(message, hint=hint, subject=subject)
        self.code = code


class Interrupted(TryAgain):
    """SIGINT or SIGTERM. rehouse finished and saved the requests that were in flight."""

    exit_status = ExitStatus.INTERRUPTED
    kind = ErrorCode.INTERRUPTED
