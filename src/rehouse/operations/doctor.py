"""Doctor: check everything that a migration needs before anything changes.

The checks are independent: a check that fails does not stop the others, and checks that depend on it say "could not check". Only
`probe` writes, and only into a scratch bucket of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rehouse.config import Settings
from rehouse.core.errors import RehouseError
from rehouse.operations.checks.account import check_account, check_region, check_surroundings
from rehouse.operations.checks.application import application_control, check_application
from rehouse.operations.checks.check import Check, Group, Outcome, no_answer, of_error
from rehouse.operations.checks.database import IDS, MAPPING, ROOM, SCHEMA, USAGE, check_database, count_tenants
from rehouse.operations.checks.grouping import count, problems, summaries
from rehouse.operations.checks.homes import check_homes
from rehouse.operations.checks.machine import check_machine
from rehouse.operations.checks.overrides import check_overrides
from rehouse.operations.checks.pointers import check_pointers
from rehouse.operations.checks.probe import check_by_probe
from rehouse.operations.checks.rights import check_rights
from rehouse.operations.checks.shared_bucket import check_shared_bucket, removed_bucket
from rehouse.operations.checks.tenant_role import check_tenant_role
from rehouse.operations.shared_buckets import require_places
from rehouse.s3.buckets.control import Control
from rehouse.s3.session import Session

__all__ = ["Check", "Group", "Outcome", "examine", "exit_status", "find_pointers", "problems", "summaries", "summary"]

_GROUPS = {
    MAPPING: Group.MAPPING,
    IDS: Group.MAPPING,
    ROOM: Group.MAPPING,
    SCHEMA: Group.LEDGER,
    USAGE: Group.LEDGER,
}
"""The group of each check that is not in the group of the module that makes it."""


def examine(settings: Settings, *, probe: bool = False) -> Iterator[Check]:
    """Yield the checks one by one as they are made.

    Raises ConfigurationError at once if a setting is missing that every check needs.
    """
    return _run_checks(require_places(settings), probe=probe)


def find_pointers(settings: Settings) -> Iterator[Check]:
    """Yield only the checks of the columns outside the mapping: do they hold keys of documents?

    Raises ConfigurationError at once if a setting is missing that every check needs.
    """
    return _set_group(Group.OTHER_COLUMNS, _end_with_error("pointers", check_pointers(require_places(settings))))


def summary(checks: Iterable[Check]) -> str:
    """Return the closing line: the number of checks by outcome."""
    return count(check.outcome for check in checks)


def exit_status(checks: Iterable[Check]) -> int:
    """Return 1 if any check failed, else 0; the summary counts what could not be checked."""
    return int(any(check.outcome is Outcome.FAILED for check in checks))


def _run_checks(settings: Settings, *, probe: bool) -> Iterator[Check]:
    yield from _set_group(Group.SETTINGS, check_overrides(settings))
    yield from _set_group(Group.MACHINE, check_machine(settings))
    yield from _set_group(Group.DATABASE, check_database(settings))
    control = Control(Session(settings))
    usable = True
    for check in _set_group(Group.S3_ACCOUNT, check_account(settings, control)):
        usable = usable and check.outcome is not Outcome.FAILED
        yield check
    if not usable:
        yield _skip_s3("S3 cannot be used with these credentials")
        return
    region, located = check_region(settings, control)
    yield replace(region, group=Group.S3_ACCOUNT)
    if located is None:
        yield _skip_s3("S3 cannot be used in this region")
        return
    if located.region != control.session.region:
        control = Control(Session(located))
    settings = located
    dropped = (removed_bucket(bucket) for bucket in settings.shared_bucket if bucket in settings.dropped_buckets)
    yield from _set_group(Group.SHARED_BUCKET, dropped)
    for bucket in settings.remaining_buckets:
        yield from _set_group(Group.SHARED_BUCKET, check_shared_bucket(settings, control, bucket))
    surroundings = check_surroundings(settings, control, new_buckets=count_tenants(settings))
    yield from _set_group(Group.NEW_BUCKETS, surroundings)
    yield from _set_group(Group.NEW_BUCKETS, [check_homes(settings, control)])
    yield from _set_group(Group.RIGHTS, _end_with_error("rights", check_rights(settings, control, probe=probe)))
    application = application_control(control.session, control.new_buckets)
    yield from _set_group(Group.APPLICATION, check_tenant_role(settings, control))
    rights = _end_with_error("application", check_application(settings, control, application))
    yield from _set_group(Group.APPLICATION, rights)
    if probe:
        yield from _set_group(Group.PROBE, _end_with_error("probe", check_by_probe(settings, control, application)))


def _set_group(group: Group, checks: Iterable[Check]) -> Iterator[Check]:
    """Yield the checks with their group: their own one, else this one."""
    for check in checks:
        yield replace(check, group=_GROUPS.get(check.subject, group))


def _skip_s3(because: str) -> Check:
    return replace(no_answer("S3: buckets and rights", because), group=Group.S3_ACCOUNT)


def _end_with_error(subject: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yield the checks; an error that ends them early becomes the last check."""
    try:
        yield from checks
    except RehouseError as error:
        yield of_error(subject, error)
