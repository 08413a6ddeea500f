"""Sum up checks for people: each problem once, the worst first, and a line for each group. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rehouse.core.escaping import count_noun
from rehouse.operations.checks.check import Check, Group, Outcome

WORST_FIRST = (Outcome.FAILED, Outcome.COULD_NOT_CHECK, Outcome.NOTICE, Outcome.OK)
NAMED = 3
"""How many subjects of one problem are named; if there are more, their number is given."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Checks of one group with the same finding: their subjects in words, and the finding."""

    outcome: Outcome
    subject: str
    detail: str
    hint: str


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group: the worst outcome of its checks, and the number of checks by outcome, in words."""

    group: Group
    outcome: Outcome
    counts: str


def problems(checks: Iterable[Check]) -> list[Problem]:
    """Return the problems, failures first. Checks of a group with the same finding become one problem."""
    found: dict[tuple[Outcome, Group | None, str, str], list[str]] = {}
    for check in checks:
        if check.outcome is not Outcome.OK:
            found.setdefault((check.outcome, check.group, check.message, check.hint), []).append(check.subject)
    made = [
        Problem(outcome, _name(group, subjects), detail, hint)
        for (outcome, group, detail, hint), subjects in found.items()
    ]
    return sorted(made, key=lambda problem: WORST_FIRST.index(problem.outcome))


def summaries(checks: Iterable[Check]) -> list[GroupSummary]:
    """Return each group that has checks, in the order of the groups."""
    outcomes: dict[Group | None, list[Outcome]] = {}
    for check in checks:
        outcomes.setdefault(check.group, []).append(check.outcome)
    return [
        GroupSummary(group, min(outcomes[group], key=WORST_FIRST.index), count(outcomes[group]))
        for group in Group
        if group in outcomes
    ]


def count(outcomes: Iterable[Outcome]) -> str:
    """Return the number of checks by outcome, in words.

    >>> count([Outcome.OK] * 9), count([Outcome.OK, Outcome.NOTICE, Outcome.NOTICE, Outcome.FAILED])
    ('9 checks passed', '1 check passed, 1 failed, 2 notices')
    >>> count([Outcome.COULD_NOT_CHECK] * 2), count([])
    ('2 could not be checked', 'no checks')
    """
    counts = Counter(outcomes)
    told = {
        Outcome.OK: f"{count_noun(counts[Outcome.OK], 'check')} passed",
        Outcome.FAILED: f"{counts[Outcome.FAILED]:,} failed",
        Outcome.COULD_NOT_CHECK: f"{counts[Outcome.COULD_NOT_CHECK]:,} could not be checked",
        Outcome.NOTICE: count_noun(counts[Outcome.NOTICE], "notice"),
    }
    return ", ".join(words for outcome, words in told.items() if counts[outcome]) or "no checks"


def _name(group: Group | None, subjects: Sequence[str]) -> str:
    """Return one name for the subjects: their common beginning once, or their number if there are many."""
    if len(subjects) == 1:
        return subjects[0]
    if len(subjects) > NAMED:
        return f"{group or 'doctor'}: {count_noun(len(subjects), 'check')}"
    parts = [subject.partition(": ") for subject in subjects]
    if len({first for first, _, _ in parts}) == 1 and all(rest for _, _, rest in parts):
        return f"{parts[0][0]}: {'; '.join(rest for _, _, rest in parts)}"
    return "; ".join(subjects)
