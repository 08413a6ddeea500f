"""What to do after a command: always a command of rehouse, or nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import pairwise

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from rehouse.cli.main import app
from rehouse.core.lifecycle import Phase
from rehouse.core.next_steps import (
    AFTER_CONFIG,
    AFTER_IAM_POLICY,
    CleanupResult,
    FinishResult,
    StatusResult,
    VerifyResult,
    after_audit,
    after_cleanup,
    after_drop,
    after_errors,
    after_finish,
    after_init,
    after_migration,
    after_plan,
    after_rollback,
    after_status,
    after_tenant_status,
    after_verify,
    before_next_run,
)
from rehouse.core.tenant_state import TenantState

slugs = st.text("abc", min_size=1, max_size=3)


@given(st.dictionaries(slugs, st.integers(0, 9)), st.booleans())
def test_after_a_plan_the_smallest_tenant_goes_first(to_copy: dict[str, int], is_everybody: bool) -> None:
    told = after_plan(to_copy, is_everybody=is_everybody)
    counts = [count for count in to_copy.values() if count]
    assert (told is None) == (not counts)
    if told:
        assert to_copy[told.split()[2]] == min(counts)
        assert ("--until verified" in told) == is_everybody


@pytest.mark.parametrize(
    ("to_copy", "staying", "expected"),
    [
        ({"a": 9, "b": 5}, [], "b"),
        ({"a": 9, "b": 5}, ["b"], "a"),
        ({"a": 9, "b": 5, "c": 0}, ["a", "b"], "b"),
        ({"a": 9, "b": 5, "c": 0}, ["b"], "a"),
        ({"b": 5, "a": 5}, [], "a"),
        ({"b": 5, "a": 5}, ["a"], "b"),
    ],
)
def test_the_pilot_leaves_nothing_behind(to_copy: dict[str, int], staying: list[str], expected: str) -> None:
    told = after_plan(to_copy, is_everybody=True, staying=staying)
    assert told == f"rehouse migrate {expected} --until verified"


@pytest.mark.parametrize(
    ("phases", "outstanding", "expected"),
    [
        ({}, {}, None),
        ({"a": Phase.VERIFIED}, {"a": []}, "rehouse cutover a"),
        ({"a": Phase.PROVISIONED}, {}, "rehouse migrate a"),
        ({"a": None, "b": Phase.COPIED}, {}, "rehouse migrate-all"),
        ({"a": Phase.CUT_OVER}, {}, "rehouse verify a --deep"),
        ({"a": Phase.CUT_OVER, "b": Phase.RELEASED}, {}, "rehouse verify-all --deep"),
        ({"a": Phase.CUT_OVER, "b": Phase.CUT_OVER}, {"a": ["archived"]}, "rehouse migrate a --only-failed"),
        (
            {"a": Phase.CUT_OVER, "b": Phase.CUT_OVER},
            {"a": ["archived"], "b": ["x"]},
            "rehouse migrate-all --only-failed",
        ),
        ({"a": Phase.VERIFIED}, {"a": ["archived"]}, "rehouse migrate a --only-failed"),
        ({"a": Phase.CUT_OVER}, {"a": ["Conflict"]}, None),
        ({"a": Phase.CUT_OVER}, {"a": ["x"] * 3}, "rehouse migrate a --only-failed"),
        ({"a": Phase.CUT_OVER}, {"a": ["x"] * 4}, "rehouse status a --errors"),
        ({}, {"a": ["x"] * 4, "c": ["x"] * 5, "b": ["x"] * 5, "d": ["x"]}, "rehouse status b --errors"),
    ],
)
def test_what_to_do_after_a_migration(
    phases: dict[str, Phase | None], outstanding: dict[str, list[str]], expected: str | None
) -> None:
    assert after_migration(phases, outstanding, shown=3) == expected


@pytest.mark.parametrize(
    ("phase", "until", "expected"),
    [
        (Phase.VERIFIED, Phase.CUT_OVER, ""),
        (Phase.VERIFIED, Phase.VERIFIED, " --until verified"),
        (Phase.COPIED, Phase.COPIED, " --until copied"),
        (Phase.VERIFIED, None, " --until verified"),
        (Phase.CUT_OVER, None, ""),
    ],
)
def test_a_next_run_goes_no_further(phase: Phase, until: Phase | None, expected: str) -> None:
    found = after_migration({"a": phase, "b": Phase.CUT_OVER}, {"a": ["archived"]}, shown=3, until=until)
    assert found == f"rehouse migrate a --only-failed{expected}"


@pytest.mark.parametrize(
    ("codes", "is_told"),
    [([], False), (["copied", "NoSuchKey"], False), (["copied", "missing_object"], True), (["SlowDown"], True)],
)
def test_what_needs_correction_is_told_first(codes: list[str], is_told: bool) -> None:
    assert (before_next_run(codes) is not None) == is_told


NEW = StatusResult("new", TenantState.NOT_STARTED, None)
IDLE = StatusResult("idle", TenantState.NOT_STARTED, None, is_active=False)
HALFWAY = StatusResult("halfway", TenantState.IN_PROGRESS, Phase.COPIED)
PROVEN = StatusResult("proven", TenantState.IN_PROGRESS, Phase.VERIFIED)
UPLOADING = StatusResult("uploading", TenantState.IN_PROGRESS, Phase.CUT_OVER)
MOVED = StatusResult("moved", TenantState.COMPLETED, Phase.CUT_OVER)
RELEASED = StatusResult("released", TenantState.COMPLETED, Phase.RELEASED)
FINISHED = StatusResult("finished", TenantState.FINISHED, Phase.FINISHED)
BACK = StatusResult("back", TenantState.ROLLED_BACK, Phase.ROLLED_BACK)
ATTENTION = StatusResult("attention", TenantState.NEEDS_ATTENTION, Phase.CUT_OVER, errors=2)
WORSE = StatusResult("worse", TenantState.NEEDS_ATTENTION, Phase.CUT_OVER, errors=3)
FAILED = StatusResult("failed", TenantState.FAILED, Phase.PROVISIONED)


@pytest.mark.parametrize(
    ("tenants", "expected"),
    [
        ([], None),
        ([IDLE], None),
        ([NEW], "rehouse plan new"),
        ([NEW, StatusResult("b", TenantState.NOT_STARTED, None), IDLE], "rehouse plan"),
        ([NEW, MOVED], "rehouse migrate new"),
        ([NEW, HALFWAY, MOVED], "rehouse migrate-all"),
        ([NEW, BACK], "rehouse migrate new"),
        ([HALFWAY], "rehouse migrate halfway"),
        ([PROVEN, MOVED], "rehouse cutover proven"),
        ([UPLOADING, MOVED], "rehouse migrate uploading"),
        ([MOVED, IDLE], "rehouse finish moved --dry-run"),
        ([MOVED, MOVED, FINISHED], "rehouse finish --all --dry-run"),
        ([MOVED, RELEASED], "rehouse finish released"),
        ([FINISHED, IDLE], "rehouse cleanup"),
        ([FINISHED, BACK], "rehouse cleanup"),
        ([BACK], None),
        ([ATTENTION, NEW, MOVED], "rehouse status attention --errors"),
        ([ATTENTION, WORSE, MOVED], "rehouse status worse --errors"),
        ([ATTENTION, FAILED], "rehouse migrate failed"),
        ([StatusResult("f", TenantState.FAILED, Phase.ROLLED_BACK)], "rehouse rollback f"),
        ([StatusResult("f", TenantState.FAILED, Phase.RELEASED)], "rehouse finish f"),
    ],
)
def test_what_to_do_after_a_look_at_all(tenants: list[StatusResult], expected: str | None) -> None:
    assert after_status(tenants) == expected


@pytest.mark.parametrize(
    ("tenant", "codes", "expected"),
    [
        (MOVED, [], "rehouse finish moved --dry-run"),
        (ATTENTION, ["missing_object"], "rehouse migrate attention --only-failed"),
        (ATTENTION, ["Conflict", "home_changed"], None),
        (ATTENTION, ["Conflict", "SlowDown"], "rehouse migrate attention --only-failed"),
        (ATTENTION, ["archived"] * 4, "rehouse status attention --errors"),
        (BACK, ["copied"], "rehouse rollback back"),
        (FAILED, ["copied"], "rehouse migrate failed"),
    ],
)
def test_what_to_do_after_a_look_at_one(tenant: StatusResult, codes: list[str], expected: str | None) -> None:
    assert after_tenant_status(tenant, codes, shown=3) == expected


@pytest.mark.parametrize(
    ("codes", "returning", "expected"),
    [
        ({}, [], None),
        ({"a": ["SlowDown"], "b": ["copied"]}, ["b"], "rehouse migrate a --only-failed"),
        ({"a": ["copied"], "b": ["copied"]}, ["a", "b"], "rehouse rollback --all"),
        ({"a": ["Conflict"], "b": ["pointed_at"]}, [], None),
    ],
)
def test_what_to_do_after_the_errors(
    codes: Mapping[str, list[str]], returning: list[str], expected: str | None
) -> None:
    assert after_errors(codes, returning) == expected


CUT, DONE = VerifyResult("cut", Phase.CUT_OVER), VerifyResult("done", Phase.FINISHED)


@pytest.mark.parametrize(
    ("tenants", "deep", "expected"),
    [
        ([], False, None),
        ([CUT], False, "rehouse verify cut --deep"),
        ([CUT, DONE], False, "rehouse verify-all --deep"),
        ([CUT], True, "rehouse finish cut --dry-run"),
        ([CUT, CUT], True, "rehouse finish cut --dry-run"),
        ([CUT, VerifyResult("b", Phase.RELEASED)], True, "rehouse finish --all --dry-run"),
        ([CUT, DONE], True, "rehouse finish cut --dry-run"),
        ([DONE], True, None),
        ([VerifyResult("a", None, quarantined=1, not_yet_migrated=3)], True, "rehouse migrate a"),
        ([VerifyResult("a", Phase.VERIFIED, not_yet_migrated=3)], False, "rehouse cutover a"),
        ([VerifyResult("a", Phase.CUT_OVER, not_yet_migrated=3), CUT], True, "rehouse migrate a"),
        ([VerifyResult("a", Phase.ROLLED_BACK, not_yet_migrated=3)], True, None),
        ([VerifyResult("a", Phase.CUT_OVER, quarantined=1)], True, "rehouse status a --errors"),
        (
            [VerifyResult("a", Phase.CUT_OVER, 1), VerifyResult("b", Phase.CUT_OVER, 2)],
            True,
            "rehouse status b --errors",
        ),
        ([VerifyResult("a", Phase.CUT_OVER, has_drift=True)], True, "rehouse audit a --fix --dry-run"),
        ([VerifyResult(each, Phase.CUT_OVER, has_drift=True) for each in "ab"], True, "rehouse audit --fix --dry-run"),
        ([CUT, VerifyResult("a", Phase.CUT_OVER, has_problems=True, has_drift=True)], True, None),
    ],
)
def test_what_to_do_after_a_verification(tenants: list[VerifyResult], deep: bool, expected: str | None) -> None:
    assert after_verify(tenants, deep=deep) == expected


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ([], None),
        ([CleanupResult("a", is_gone=True)], "rehouse uninstall --dry-run"),
        ([CleanupResult("a", is_gone=True), CleanupResult("b", is_unused=True)], "rehouse cleanup --drop-bucket b"),
        ([CleanupResult("a", categories=frozenset({"source", "changed"}))], "rehouse migrate-all"),
        ([CleanupResult("a", is_needed=True, categories=frozenset({"source"}))], "rehouse finish --all --dry-run"),
        ([CleanupResult("a", is_needed=True, categories=frozenset({"pointed_at"}))], "rehouse status"),
        ([CleanupResult("a", categories=frozenset({"orphan"}))], None),
    ],
)
def test_what_to_do_after_a_cleanup(buckets: list[CleanupResult], expected: str | None) -> None:
    assert after_cleanup(buckets) == expected


AGAIN = "rehouse finish --all --after 0"


@pytest.mark.parametrize(
    ("tenants", "dry_run", "expected"),
    [
        ([], True, None),
        ([], False, None),
        ([FinishResult("a", Phase.CUT_OVER, removed=2)], True, AGAIN),
        ([FinishResult("a", Phase.CUT_OVER, removed=2, outstanding=1)], True, AGAIN),
        ([FinishResult("a", Phase.CUT_OVER)], True, None),
        ([FinishResult("a", Phase.CUT_OVER, removed=2), FinishResult("b", Phase.CUT_OVER, is_held=True)], True, None),
        ([FinishResult("a", Phase.FINISHED, removed=2)], False, "rehouse cleanup"),
        ([FinishResult("a", Phase.FINISHED), FinishResult("b", Phase.CUT_OVER)], False, None),
        ([FinishResult("a", Phase.RELEASED, removed=2, outstanding=1)], False, "rehouse status a --errors"),
        ([FinishResult("a", Phase.FINISHED, is_held=True)], False, None),
    ],
)
def test_what_to_do_after_a_removal(tenants: list[FinishResult], dry_run: bool, expected: str | None) -> None:
    assert after_finish(tenants, command=AGAIN, dry_run=dry_run) == expected


@pytest.mark.parametrize(
    ("everyone", "dry_run", "to_return", "errors", "expected"),
    [
        (False, True, 3, 0, "rehouse rollback a"),
        (True, True, 3, 0, "rehouse rollback --all"),
        (False, True, 0, 0, None),
        (False, True, 3, 1, None),
        (False, False, 3, 0, None),
    ],
)
def test_what_to_do_after_a_rollback(
    everyone: bool, dry_run: bool, to_return: int, errors: int, expected: str | None
) -> None:
    found = after_rollback(["a", "b"], everyone=everyone, dry_run=dry_run, to_return=to_return, errors=errors)
    assert found == expected


standings = st.builds(
    StatusResult, slugs, st.sampled_from(TenantState), st.none() | st.sampled_from(Phase), st.booleans()
)
verified = st.builds(
    VerifyResult,
    slugs,
    st.none() | st.sampled_from(Phase),
    st.integers(0, 2),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)
flags = st.booleans()
codes = st.sampled_from(["Conflict", "copied", "archived"])
told = st.one_of(
    st.sampled_from(
        [after_init(has_migrations=False), after_init(has_migrations=True), AFTER_CONFIG, AFTER_IAM_POLICY]
    ),
    st.builds(after_status, st.lists(standings, max_size=4)),
    st.builds(after_tenant_status, standings, st.lists(codes), shown=st.integers(0, 3)),
    st.builds(after_verify, st.lists(verified, max_size=3), deep=flags),
    st.builds(after_audit, st.none() | slugs, fixable=st.integers(0, 1), fix=flags, dry_run=flags),
    st.builds(after_drop, slugs, dry_run=flags, keep_empty=flags),
    st.builds(
        after_migration,
        st.dictionaries(slugs, st.none() | st.sampled_from(Phase), max_size=3),
        st.dictionaries(slugs, st.lists(codes, max_size=3), max_size=3),
        shown=st.integers(0, 3),
        until=st.sampled_from([None, Phase.COPIED, Phase.VERIFIED, Phase.CUT_OVER]),
    ),
)


@given(told)
def test_every_step_is_a_command_that_exists(step: str | None) -> None:
    if step is None:
        return
    program, name, *words = shlex.split(step)
    assert program == "rehouse"
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    known = {option for each in command.params for option in each.opts}
    assert {word for word in words if word.startswith("--")} <= known
    named = [word for before, word in pairwise([name, *words]) if not word.startswith("--") and before != "--until"]
    assert len(named) <= 1


def test_a_slug_is_quoted_for_the_shell() -> None:
    assert after_plan({"it's & mine": 1}, is_everybody=False) == """rehouse migrate 'it'"'"'s & mine'"""
    odd = StatusResult("it's & mine", TenantState.COMPLETED, Phase.CUT_OVER)
    assert after_status([odd]) == """rehouse finish 'it'"'"'s & mine' --dry-run"""
