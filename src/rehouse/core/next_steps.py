"""What to do after a command, as a command to copy; nothing where nothing is to be done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from shlex import quote

from rehouse.core.lifecycle import Phase, is_at_least


def after_plan(to_copy: Mapping[str, int], *, is_everybody: bool, saved: str | None = None) -> str | None:
    """Return what to do after a plan; `to_copy`: how many documents of each active tenant would be copied, by slug.

    Of several tenants the smallest goes first, without a switch. `saved`: the file that keeps the plan.

    >>> after_plan({"acme": 132, "globex": 72, "empty": 0}, is_everybody=True)
    'rehouse migrate globex --until verified'
    >>> after_plan({"acme": 132}, is_everybody=False), after_plan({"acme": 0}, is_everybody=True)
    ('rehouse migrate acme', None)
    """
    smallest = min(
        (slug for slug, count in to_copy.items() if count), key=lambda slug: (to_copy[slug], slug), default=None
    )
    if smallest is None:
        return None
    held = "" if saved is None else f" --plan {quote(saved)}"
    return f"rehouse migrate {quote(smallest)}" + (" --until verified" if is_everybody else "") + held


def after_migration(phases: Mapping[str, Phase | None], quarantined: Collection[str]) -> str | None:
    """Return what to do after a migration that nothing stopped: `phases` of its tenants, and which have documents in quarantine.

    >>> after_migration({"a": Phase.VERIFIED}, []), after_migration({"a": Phase.CUT_OVER}, ["a"])
    ('rehouse cutover a', 'rehouse status a --errors')
    >>> after_migration({"a": Phase.CUT_OVER, "b": Phase.CUT_OVER}, []), after_migration({"a": Phase.COPIED}, [])
    ('rehouse verify-all --deep', 'rehouse migrate a')
    """
    if quarantined:
        return f"rehouse status {quote(min(quarantined))} --errors"
    waiting = [slug for slug, phase in phases.items() if phase is None or not is_at_least(phase, Phase.CUT_OVER)]
    if len(waiting) > 1:
        return "rehouse migrate-all"
    if waiting:
        verb = "cutover" if phases[waiting[0]] is Phase.VERIFIED else "migrate"
        return f"rehouse {verb} {quote(waiting[0])}"
    if not phases:
        return None
    return f"rehouse verify {quote(next(iter(phases)))} --deep" if len(phases) == 1 else "rehouse verify-all --deep"
