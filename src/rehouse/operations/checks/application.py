"""Checks of the application's rights, with its own credentials (REHOUSE_APPLICATION_PROFILE): can it reach moved documents?

Reading is tested on the shared bucket. The rights on the tenants' buckets are simulated, or tested by `--probe`.
"""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused, StorageUnavailable
from rehouse.core.permissions.policies import permissions_of
from rehouse.operations.checks.check import (
    Check,
    Outcome,
    failure,
    no_answer,
    notice,
    ok,
    skip_dependents,
    try_check,
)
from rehouse.operations.checks.rights import scope_of, simulate_rights
from rehouse.operations.checks.shared_bucket import first_object
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import translate_errors
from rehouse.s3.new_buckets import NewBuckets
from rehouse.s3.session import Session

SUBJECT = "application"
IDENTITY = f"{SUBJECT}: identity"
READING = f"{SUBJECT}: reading the shared bucket"
RIGHTS_HINT = "attach `rehouse iam-policy --role application` to the application's role"


def application_control(session: Session, new_buckets: NewBuckets | None = None) -> Control | None:
    """Return a control plane with the application's credentials, None if they are not set."""
    profile = session.settings.application_profile
    return None if profile is None else Control(session.with_profile(profile), new_buckets=new_buckets)


def check_application(settings: Settings, control: Control, application: Control | None) -> Iterator[Check]:
    """Yield the checks of the application's rights."""
    if application is None:
        hint = "set REHOUSE_APPLICATION_PROFILE to the AWS profile with the application's credentials"
        yield notice(SUBJECT, "its own rights are not checked", hint)
        return
    identity = try_check(IDENTITY, lambda: _identity(control, application))
    yield identity
    if identity.outcome is Outcome.FAILED:
        yield from skip_dependents((READING, f"{SUBJECT}: rights"), "its credentials cannot be used")
        return
    yield try_check(READING, lambda: _reading(settings, control, application), rights_hint=RIGHTS_HINT)
    rows = [row for row in permissions_of(["application"]) if not row.is_of_storage]
    scope = scope_of(settings, control)
    yield from simulate_rights(control, rows, scope, application.identity().arn, SUBJECT, hint=RIGHTS_HINT)


def _identity(control: Control, application: Control) -> Check:
    theirs, ours = application.identity(), control.identity()
    if theirs.account != ours.account:
        return failure(IDENTITY, f"its account is {theirs.account}, ours is {ours.account}", "use one account for both")
    if theirs.arn and theirs.arn == ours.arn:
        return notice(IDENTITY, "the application uses the same credentials as the migration", "give each its own role")
    return ok(IDENTITY, theirs.arn or "accepted")


def _reading(settings: Settings, control: Control, application: Control) -> Check:
    shared = settings.remaining_bucket
    if shared is None:
        return no_answer(READING, "the shared bucket was removed")
    try:
        with translate_errors(shared):
            key = first_object(control, shared)
    except (StorageRefused, StorageUnavailable):
        return no_answer(READING, f"{shared} could not be listed with the migration's own credentials")
    if key is None:
        return no_answer(READING, f"{shared} is empty")
    application.client.head_object(Bucket=shared, Key=key)
    return ok(READING, "an object of the shared bucket can be read")
