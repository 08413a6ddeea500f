"""The next step after a command, as a command to copy; None if there is nothing to do.

After a failure there is no suggestion, because the error has its own hint, unless one command helps in every case.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from shlex import quote

from rehouse.core.durations import spell_duration
from rehouse.core.late_writes import CONFLICT, ROW_LOCKED
from rehouse.core.lifecycle import DocumentState, Phase, is_at_least
from rehouse.core.removals import STAYING_CODES
from rehouse.core.tenant_state import TenantState

REPEATED = frozenset(
    {*DocumentState, ROW_LOCKED, "PreconditionFailed", "SourceChanged", "TargetChanged", "Mismatch", "NoSuchKey"}
)
"""States and codes of documents that need nothing but another run."""
AFTER_CONFIG = "rehouse doctor"
AFTER_IAM_POLICY = "rehouse doctor --probe"


def after_init(*, has_migrations: bool) -> str:
    """Return what to do after `init`: `status` if tenants are migrated or on their way, else `plan`.

    >>> after_init(has_migrations=False), after_init(has_migrations=True)
    ('rehouse plan', 'rehouse status')
    """
    return "rehouse status" if has_migrations else "rehouse plan"


def after_plan(
    to_copy: Mapping[str, int], *, is_everybody: bool, staying: Collection[str] = (), saved: str | None = None
) -> str | None:
    """Return what to do after a plan. `to_copy`: how many documents of each active tenant would be copied, by slug.

    If there are several tenants, the suggestion is to move one of them up to `verified`: the smallest of those that leave nothing
    behind, or the smallest of all. `staying`: tenants with documents that would stay behind. `saved`: the file with the saved plan.

    >>> after_plan({"acme": 132, "globex": 72, "empty": 0}, is_everybody=True)
    'rehouse migrate globex --until verified'
    >>> after_plan({"acme": 132, "globex": 72}, is_everybody=True, staying=["globex"])
    'rehouse migrate acme --until verified'
    >>> after_plan({"acme": 132}, is_everybody=False), after_plan({"acme": 0}, is_everybody=True)
    ('rehouse migrate acme', None)
    """
    moving = [slug for slug, count in to_copy.items() if count]
    if not moving:
        return None
    pilot = min(moving, key=lambda slug: (slug in staying, to_copy[slug], slug))
    held = "" if saved is None else f" --plan {quote(saved)}"
    return f"rehouse migrate {quote(pilot)}" + (" --until verified" if is_everybody else "") + held


def after_migration(
    phases: Mapping[str, Phase | None],
    outstanding: Mapping[str, Sequence[str]],
    *,
    shown: int,
    until: Phase | None = Phase.CUT_OVER,
) -> str | None:
    """Return what to do after a run that was not interrupted; `phases`: those of its tenants.

    `outstanding`: the codes of the documents that stay behind, by tenant; `shown` of each tenant were printed. Where all were
    printed, the documents are corrected next and tried again, up to the same phase `until`; None: as far as the tenants are.

    >>> after_migration({"a": Phase.VERIFIED}, {}, shown=20), after_migration({"a": Phase.COPIED}, {}, shown=20)
    ('rehouse cutover a', 'rehouse migrate a')
    >>> after_migration({"a": Phase.CUT_OVER}, {"a": ["archived"]}, shown=20)
    'rehouse migrate a --only-failed'
    >>> after_migration({"a": Phase.CUT_OVER}, {"a": ["archived"] * 21}, shown=20)
    'rehouse status a --errors'
    >>> after_migration({"a": Phase.CUT_OVER, "b": Phase.CUT_OVER}, {}, shown=20)
    'rehouse verify-all --deep'
    """
    left = {slug: codes for slug, codes in outstanding.items() if codes}
    if many := {slug: len(codes) for slug, codes in left.items() if len(codes) > shown}:
        return _errors_of(many)
    if left:
        reached = {phases.get(slug) for slug in left}
        limit = until or (Phase.VERIFIED if reached == {Phase.VERIFIED} else Phase.CUT_OVER)
        again = after_errors(left, [])
        return f"{again} --until {limit}" if again and limit is not Phase.CUT_OVER else again
    if not phases:
        return None
    return _move_on(phases) or (_of("verify", phases) + " --deep")


def before_next_run(codes: Iterable[str]) -> str | None:
    """Return what a person does before documents with these codes are tried again; None where a repetition is enough.

    >>> before_next_run(["missing_object"])
    'First correct these documents as the hints say, or accept them. Then:'
    >>> before_next_run(["PreconditionFailed", "copied"]) is None
    True
    """
    return None if {*codes} <= REPEATED else "First correct these documents as the hints say, or accept them. Then:"


@dataclass(frozen=True, slots=True)
class StatusResult:
    """A tenant as `status` shows it; `errors`: how many it has."""

    slug: str
    state: TenantState
    phase: Phase | None
    is_active: bool = True
    errors: int = 0


def after_status(tenants: Sequence[StatusResult]) -> str | None:
    """Return what to do after `status`. The first matching line applies:

    | there is a tenant that               | next                                                        |
    |--------------------------------------|-------------------------------------------------------------|
    | failed                               | the command that failed                                     |
    | needs attention                      | `status SLUG --errors` of the one with the most             |
    | is not begun or on its way, of some  | `migrate SLUG`, `cutover SLUG`; `migrate-all` for several    |
    |   that are begun                     |                                                             |
    | is not begun, of none that is begun  | `plan`                                                      |
    | is being finished                    | `finish SLUG`; `finish --all` for several                   |
    | is completed                         | `finish SLUG --dry-run`; `finish --all --dry-run` for several |
    | is finished                          | `cleanup`                                                   |
    """
    meant = [each for each in tenants if each.is_active or each.state is not TenantState.NOT_STARTED]
    states = {state: [each for each in meant if each.state is state] for state in TenantState}
    if failed := states[TenantState.FAILED]:
        return _again(failed[0])
    if attention := states[TenantState.NEEDS_ATTENTION]:
        return _errors_of({each.slug: each.errors for each in attention})
    begun = [each for each in meant if each.state is not TenantState.NOT_STARTED]
    waiting = {each.slug: each.phase for each in states[TenantState.NOT_STARTED] + states[TenantState.IN_PROGRESS]}
    if waiting:
        return (_move_on(waiting) or _of("migrate", waiting)) if begun else " ".join(["rehouse plan", *_one(waiting)])
    for phase, suffix in ((Phase.RELEASED, ""), (Phase.CUT_OVER, " --dry-run")):
        if slugs := [each.slug for each in states[TenantState.COMPLETED] if each.phase is phase]:
            return _of("finish", slugs) + suffix
    return "rehouse cleanup" if states[TenantState.FINISHED] else None


def after_tenant_status(tenant: StatusResult, codes: Sequence[str], *, shown: int) -> str | None:
    """Return what to do after `status SLUG`. The documents have these codes, and `shown` of them were printed.

    >>> attention = StatusResult("a", TenantState.NEEDS_ATTENTION, Phase.CUT_OVER)
    >>> after_tenant_status(attention, ["missing_object"], shown=20)
    'rehouse migrate a --only-failed'
    """
    if tenant.state is TenantState.FAILED:
        return _again(tenant)
    if len(codes) > shown:
        return _errors_of({tenant.slug: len(codes)})
    if codes:
        return after_errors({tenant.slug: codes}, [tenant.slug] if tenant.phase is Phase.ROLLED_BACK else [])
    return after_status([tenant])


def after_errors(codes: Mapping[str, Collection[str]], returning: Collection[str]) -> str | None:
    """Return what to do after each document was shown with its hint. `codes`: the codes of the documents, by tenant.

    No run resolves what a person has to decide, such as a conflict or a source that stays. `returning`: tenants whose documents
    return to the shared bucket.

    >>> after_errors({"a": ["missing_object"]}, []), after_errors({"a": ["missing_object"]}, ["a"])
    ('rehouse migrate a --only-failed', 'rehouse rollback a')
    >>> after_errors({"a": ["SlowDown"], "b": ["archived"]}, []), after_errors({"a": ["Conflict"]}, [])
    ('rehouse migrate-all --only-failed', None)
    """
    by_run = [slug for slug, found in codes.items() if {*found} - {CONFLICT, *STAYING_CODES}]
    moving = [slug for slug in by_run if slug not in returning]
    if moving:
        return _of("migrate", moving) + " --only-failed"
    return _of("rollback", by_run) if by_run else None


def after_rollback(slugs: Sequence[str], *, everyone: bool, dry_run: bool, to_return: int, errors: int) -> str | None:
    """Return what to do after a rollback: after a dry run without errors, the rollback itself; else nothing.

    >>> after_rollback(["a"], everyone=False, dry_run=True, to_return=3, errors=0)
    'rehouse rollback a'
    >>> after_rollback(["a"], everyone=False, dry_run=False, to_return=0, errors=0)
    """
    if not dry_run or errors or not to_return:
        return None
    return "rehouse rollback --all" if everyone else f"rehouse rollback {quote(slugs[0])}"


def note_after_rollback(homes: Mapping[str, str], grace: timedelta) -> str | None:
    """Return a note on the buckets that tenants have left, and on later writes there; `homes`: slug → bucket.

    >>> note_after_rollback({"a": "b-a"}, timedelta(days=7)).partition(": ")[0]
    'the bucket b-a is kept'
    >>> note_after_rollback({}, timedelta(days=7))
    """
    if not homes:
        return None
    if len(homes) == 1:
        [(slug, bucket)] = homes.items()
        kept, again, name, there, one = f"the bucket {bucket} is kept", quote(slug), quote(slug), "it", "it"
    else:
        kept, again, name = f"the {len(homes)} buckets that the tenants left are kept", "--all", "SLUG"
        there, one = "them", "one"
    when = f"after {spell_duration(grace)} " if grace else ""
    return (
        f"{kept}: run `rehouse rollback {again}` again to return documents that still arrive in {there}; "
        f"{when}`rehouse rollback {name} --drop-bucket` removes {one}"
    )


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """The result of `verify` for a tenant.

    `has_problems`: documents or settings are wrong, not counting quarantine; `has_drift`: settings of its bucket are wrong.
    """

    slug: str
    phase: Phase | None
    quarantined: int = 0
    not_yet_migrated: int = 0
    has_problems: bool = False
    has_drift: bool = False


def after_verify(tenants: Sequence[VerifyResult], *, deep: bool) -> str | None:
    """Return what to do after a verification. The first matching line applies:

    | there is a tenant that          | next                                                                |
    |---------------------------------|---------------------------------------------------------------------|
    | has a problem                   | nothing: somebody has to look                                       |
    | has another setting             | `audit SLUG --fix --dry-run`                                        |
    | has documents in quarantine     | `status SLUG --errors` of the one with the most that the ledger has |
    | is on its way                   | `migrate SLUG`, `cutover SLUG`; `migrate-all` for several           |
    | was not compared byte by byte   | the same command with `--deep`                                      |
    | is cut over                     | `finish SLUG --dry-run`; `finish --all --dry-run` for several       |
    """
    if any(each.has_problems for each in tenants):
        return None
    if drifted := [each.slug for each in tenants if each.has_drift]:
        return " ".join(["rehouse audit", *_one(drifted), "--fix --dry-run"])
    if quarantined := {each.slug: each.quarantined for each in tenants if each.quarantined and each.phase}:
        return _errors_of(quarantined)
    if moving := _move_on({each.slug: each.phase for each in tenants if each.phase is not Phase.ROLLED_BACK}):
        return moving
    moved = {each.slug: each.phase for each in tenants if each.phase and is_at_least(each.phase, Phase.CUT_OVER)}
    if any(each.not_yet_migrated for each in tenants if each.slug in moved):
        return _of("migrate", [each.slug for each in tenants if each.not_yet_migrated and each.slug in moved])
    if moved and not deep:
        return _of("verify", moved) + " --deep"
    left = [slug for slug, phase in moved.items() if phase is not Phase.FINISHED]
    return _of("finish", left) + " --dry-run" if left else None


def after_audit(slug: str | None, *, fixable: int, fix: bool, dry_run: bool) -> str | None:
    """Return what to do after an audit. `fixable`: the number of findings that could be corrected and were not.

    >>> after_audit("a", fixable=2, fix=False, dry_run=False), after_audit(None, fixable=2, fix=True, dry_run=True)
    ('rehouse audit a --fix --dry-run', 'rehouse audit --fix')
    >>> after_audit(None, fixable=0, fix=False, dry_run=False), after_audit(None, fixable=1, fix=True, dry_run=False)
    (None, None)
    """
    if not fixable or (fix and not dry_run):
        return None
    return " ".join(["rehouse audit", *_one([slug] if slug else []), "--fix" if dry_run else "--fix --dry-run"])


@dataclass(frozen=True, slots=True)
class CleanupResult:
    """A shared bucket as `cleanup` shows it; `categories`: why objects are in it.

    `is_gone`: it was removed, or emptied and kept; `is_unused`: nothing is in it, and nobody needs it.
    """

    bucket: str
    is_gone: bool = False
    is_unused: bool = False
    is_needed: bool = False
    categories: frozenset[str] = frozenset()


def after_cleanup(buckets: Sequence[CleanupResult]) -> str | None:
    """Return what to do after `cleanup`, with or without the removal of a bucket. The first matching line applies:

    | of the buckets                                | next                        |
    |-----------------------------------------------|-----------------------------|
    | all are gone                                  | `uninstall --dry-run`       |
    | one is empty, and nothing needs it            | `cleanup --drop-bucket`     |
    | one has what was written after the migration  | `migrate-all`               |
    | one has sources that `finish` removes         | `finish --all --dry-run`    |
    | one is needed by a tenant                     | `status`                    |
    """
    there = [each for each in buckets if not each.is_gone]
    if buckets and not there:
        return "rehouse uninstall --dry-run"
    if unused := [each.bucket for each in there if each.is_unused]:
        return f"rehouse cleanup --drop-bucket {quote(unused[0])}"
    categories = frozenset().union(*(each.categories for each in there))
    if "changed" in categories:
        return "rehouse migrate-all"
    if "source" in categories:
        return "rehouse finish --all --dry-run"
    return "rehouse status" if any(each.is_needed for each in there) else None


@dataclass(frozen=True, slots=True)
class FinishResult:
    """The result of `finish` for a tenant. `is_held`: sources stay for a reason, or the run failed; `removed`: also if dry."""

    slug: str
    phase: Phase | None
    removed: int = 0
    outstanding: int = 0
    is_held: bool = False


def after_finish(tenants: Sequence[FinishResult], *, command: str, dry_run: bool) -> str | None:
    """Return what to do after `finish`; `command`: the same command without `--dry-run`.

    | after                                        | next                                               |
    |----------------------------------------------|----------------------------------------------------|
    | a dry run that would remove something        | the command itself, unless a tenant is held        |
    | a removal, with documents that stay behind   | `status SLUG --errors`, unless a tenant is held    |
    | a removal after which all are finished       | `cleanup`                                          |
    """
    if any(each.is_held for each in tenants):
        return None
    if dry_run:
        return command if any(each.removed for each in tenants) else None
    if outstanding := {each.slug: each.outstanding for each in tenants if each.outstanding}:
        return _errors_of(outstanding)
    return "rehouse cleanup" if tenants and all(each.phase is Phase.FINISHED for each in tenants) else None


def after_uninstall(command: str, *, dry_run: bool, is_any_there: bool) -> str | None:
    """Return what to do after `uninstall`; `command`: the same command without `--dry-run`.

    >>> after_uninstall("rehouse uninstall --usage", dry_run=True, is_any_there=True)
    'rehouse uninstall --usage'
    """
    return command if dry_run and is_any_there else None


def after_drop(slug: str, *, dry_run: bool, keep_empty: bool) -> str | None:
    """Return what to do after `rollback --drop-bucket`.

    >>> after_drop("a", dry_run=True, keep_empty=True), after_drop("a", dry_run=False, keep_empty=False)
    ('rehouse rollback a --drop-bucket --keep-empty', None)
    """
    kept = " --keep-empty" if keep_empty else ""
    return f"rehouse rollback {quote(slug)} --drop-bucket{kept}" if dry_run else None


def _again(tenant: StatusResult) -> str:
    """Return the command that continues where a tenant's run failed."""
    verb = "migrate"
    if tenant.phase is Phase.ROLLED_BACK:
        verb = "rollback"
    elif tenant.phase in {Phase.RELEASED, Phase.FINISHED}:
        verb = "finish"
    return f"rehouse {verb} {quote(tenant.slug)}"


def _move_on(phases: Mapping[str, Phase | None]) -> str | None:
    """Return the command that moves tenants on to their own buckets, or None if all are there."""
    waiting = {slug: phase for slug, phase in phases.items() if phase is None or not is_at_least(phase, Phase.CUT_OVER)}
    if not waiting:
        return None
    return _of("cutover" if len(waiting) == 1 and Phase.VERIFIED in waiting.values() else "migrate", waiting)


def _of(verb: str, slugs: Iterable[str]) -> str:
    """Return the command for one tenant, or for all."""
    named = list(slugs)
    if len(named) == 1:
        return f"rehouse {verb} {quote(named[0])}"
    return f"rehouse {verb} --all" if verb in {"finish", "rollback"} else f"rehouse {verb}-all"


def _one(slugs: Iterable[str]) -> list[str]:
    """Return the argument for one tenant, none for all."""
    named = list(slugs)
    return [quote(named[0])] if len(named) == 1 else []


def _errors_of(counts: Mapping[str, int]) -> str:
    """Return the command that shows the errors of the tenant with the most."""
    most = min(counts, key=lambda slug: (-counts[slug], slug))
    return f"rehouse status {quote(most)} --errors"
