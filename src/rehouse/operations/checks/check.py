"""One finding of doctor, and the one function that makes it: run a check, and turn an error into an outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from rehouse.core.errors import RehouseError, StorageRefused
from rehouse.ledger.faults import translate_errors
from rehouse.s3.faults import DENIED, HINTS, RIGHTS_HINT
from rehouse.s3.faults import translate_errors as translating_s3


class Outcome(StrEnum):
    """How a check ended. "Could not check" is not a success; a notice is not a fault."""

    OK = "ok"
    FAILED = "failed"
    COULD_NOT_CHECK = "could not check"
    NOTICE = "notice"


class Group(StrEnum):
    """The part of the installation that a check is about, in the order of doctor's report."""

    SETTINGS = "settings"
    MACHINE = "this machine"
    DATABASE = "database"
    MAPPING = "mapping"
    LEDGER = "ledger"
    S3_ACCOUNT = "S3 account"
    SHARED_BUCKET = "shared bucket"
    NEW_BUCKETS = "new buckets"
    RIGHTS = "rights"
    APPLICATION = "application"
    PROBE = "probe"
    OTHER_COLUMNS = "other columns"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: the subject, the outcome, what was found, what to do about it. Doctor sets its group."""

    subject: str
    outcome: Outcome
    message: str
    hint: str = ""
    group: Group | None = None


def ok(subject: str, detail: str) -> Check:
    """Return a check that passed."""
    return Check(subject, Outcome.OK, detail)


def failure(subject: str, detail: str, hint: str) -> Check:
    """Return a check that found something that must be corrected."""
    return Check(subject, Outcome.FAILED, detail, hint)


def notice(subject: str, detail: str, hint: str = "") -> Check:
    """Return a check that found something to know about."""
    return Check(subject, Outcome.NOTICE, detail, hint)


def no_answer(subject: str, detail: str, hint: str = "") -> Check:
    """Return a check that could not be made."""
    return Check(subject, Outcome.COULD_NOT_CHECK, detail, hint)


def try_check(
    subject: str,
    look: Callable[[], Check],
    *,
    denied: Outcome = Outcome.FAILED,
    rights_hint: str = RIGHTS_HINT,
) -> Check:
    """Run `look` and return its finding; turn an error of S3, PostgreSQL or rehouse into the outcome.

    `denied` is the outcome for a missing right: FAILED if a run needs it, COULD_NOT_CHECK if only doctor does.
    `rights_hint` tells how to grant it.
    """
    try:
        with translating_s3(subject), translate_errors():
            return look()
    except RehouseError as error:
        return of_error(subject, error, denied=denied, rights_hint=rights_hint)


def of_error(
    subject: str, error: RehouseError, *, denied: Outcome = Outcome.FAILED, rights_hint: str = RIGHTS_HINT
) -> Check:
    """Return an error as a check, without repeating the subject or the advice to run doctor."""
    is_denied = isinstance(error, StorageRefused) and error.code in DENIED
    hint = rights_hint if error.hint == HINTS["AccessDenied"] else error.hint
    detail = error.message.removeprefix(f"{subject}: ")
    return Check(subject, denied if is_denied else Outcome.FAILED, detail, hint)


def skip_dependents(subjects: Iterable[str], because: str) -> Iterable[Check]:
    """Return "could not check" for every check that depends on a failed one."""
    return (no_answer(subject, because) for subject in subjects)
