"""The states of a tenant in words, and where its documents are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.lifecycle import Phase, Status, closing_status
from rehouse.core.tenant_state import (
    MEANINGS,
    Tally,
    TenantState,
    count_errors,
    describe_rest,
    describe_states,
    tenant_state,
)

DONE = {TenantState.COMPLETED, TenantState.FINISHED, TenantState.ROLLED_BACK}


@pytest.mark.parametrize(
    ("status", "phase", "documents", "run_failed", "state"),
    [
        (Status.COMPLETED, Phase.CUT_OVER, 0, True, TenantState.FAILED),
        (Status.PENDING, None, 0, True, TenantState.FAILED),
        (Status.FAILED, Phase.CUT_OVER, 2, True, TenantState.FAILED),
        (Status.PENDING, None, 0, False, TenantState.NOT_STARTED),
        (Status.IN_PROGRESS, Phase.COPIED, 2, False, TenantState.IN_PROGRESS),
        (Status.ROLLED_BACK, Phase.ROLLED_BACK, 0, False, TenantState.ROLLED_BACK),
        (Status.FAILED, Phase.ROLLED_BACK, 1, False, TenantState.NEEDS_ATTENTION),
        (Status.FAILED, Phase.CUT_OVER, 2, False, TenantState.NEEDS_ATTENTION),
        (Status.FAILED, Phase.PLANNED, 0, False, TenantState.FAILED),
        (Status.COMPLETED, Phase.FINISHED, 0, False, TenantState.FINISHED),
        (Status.COMPLETED, Phase.RELEASED, 0, False, TenantState.COMPLETED),
        (Status.COMPLETED, Phase.CUT_OVER, 0, False, TenantState.COMPLETED),
    ],
)
def test_the_state_of_a_tenant(
    status: Status, phase: Phase | None, documents: int, run_failed: bool, state: TenantState
) -> None:
    assert tenant_state(status, phase, documents=documents, run_failed=run_failed) is state


@given(
    st.sampled_from(Status),
    st.one_of(st.none(), st.sampled_from(Phase)),
    st.integers(0, 9),
    st.booleans(),
)
def test_a_failure_is_never_called_done(status: Status, phase: Phase | None, documents: int, run_failed: bool) -> None:
    state = tenant_state(status, phase, documents=documents, run_failed=run_failed)
    assert state in MEANINGS
    if run_failed or status is Status.FAILED:
        assert state in {TenantState.FAILED, TenantState.NEEDS_ATTENTION}
        assert count_errors(state, documents) >= 1
    else:
        assert state not in {TenantState.FAILED, TenantState.NEEDS_ATTENTION}
        assert count_errors(state, documents) == documents


@given(st.sampled_from(Phase), st.integers(0, 5), st.booleans(), st.integers(0, 5), st.booleans())
def test_a_state_agrees_with_the_recorded_status(
    phase: Phase, documents: int, run_failed: bool, waiting: int, interrupted: bool
) -> None:
    run_failed = run_failed and not interrupted
    errors = max(documents, int(run_failed))
    status = closing_status(phase, errors=errors, waiting=waiting, interrupted=interrupted)
    state = tenant_state(status, phase, documents=documents, run_failed=run_failed)
    assert (state is TenantState.NEEDS_ATTENTION) == (documents > 0 and not run_failed)
    assert (state is TenantState.FAILED) == run_failed
    assert count_errors(state, documents) == errors
    assert state not in DONE or not (errors or interrupted)


@given(*[st.integers(0, 50)] * 8, st.booleans())
def test_the_rest_of_the_documents_adds_up(
    moved: int,
    deleted: int,
    skipped: int,
    accepted: int,
    waiting: int,
    uploaded: int,
    unmoved: int,
    late: int,
    is_cut_over: bool,
) -> None:
    tally = Tally(
        total=moved + uploaded + skipped + accepted + waiting + unmoved,
        migrated=moved + deleted,
        skipped=skipped,
        accepted=accepted,
        waiting=waiting,
        at_home=moved + uploaded,
        failed=unmoved + late,
        is_cut_over=is_cut_over,
    )
    assert tally.migrated + tally.rest.total() == tally.total + tally.deleted
    assert min(tally.rest.values()) >= 0
    assert tally.rest["with an error"] == unmoved


def test_where_the_others_are() -> None:
    copied = Tally(total=137, skipped=3, waiting=1, failed=2, is_cut_over=False)
    assert describe_rest([copied]) == (
        "0 of 137 documents migrated: 3 without a file, 1 waiting, 2 with an error, 131 not moved yet"
    )
    moved = Tally(total=1448, migrated=1440, skipped=3, accepted=1, at_home=1444)
    assert (
        describe_rest([moved, moved])
        == "2,880 of 2,896 documents migrated: 6 without a file, 2 accepted, 8 at home already"
    )
    assert describe_rest([Tally(total=2, migrated=2, at_home=2)]) == "2 of 2 documents migrated"


def test_how_many_tenants_are_in_which_state() -> None:
    need, failed = TenantState.NEEDS_ATTENTION, TenantState.FAILED
    assert describe_states([failed, need, need]) == "3 tenants: 2 need attention, 1 failed"
    assert describe_states([TenantState.NOT_STARTED]) == "1 tenant: not started"
    assert describe_states([need, need]) == "2 tenants: need attention"
    assert describe_states([]) == "0 tenants"
