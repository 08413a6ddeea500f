"""How a command ends, by what is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.errors import Halt, Interrupted, Refused, TryAgain
from rehouse.core.exit_status import MEANINGS, ExitStatus, exit_status


@pytest.mark.parametrize(
    ("is_well", "quarantined", "allowed", "interrupted", "expected"),
    [
        (True, 0, False, False, 0),
        (True, 0, True, False, 0),
        (True, 2, False, False, 3),
        (True, 2, True, False, 0),
        (False, 0, False, False, 1),
        (False, 2, False, False, 1),
        (False, 2, True, False, 1),
        (True, 0, False, True, 130),
        (False, 2, True, True, 130),
    ],
)
def test_the_table(is_well: bool, quarantined: int, allowed: bool, interrupted: bool, expected: int) -> None:
    found = exit_status(is_well=is_well, quarantined=quarantined, allow_quarantined=allowed, interrupted=interrupted)
    assert found == expected


@pytest.mark.parametrize(
    ("is_well", "quarantined", "interrupted", "expected"),
    [(True, 0, False, 4), (True, 2, False, 4), (False, 0, False, 1), (True, 0, True, 130)],
)
def test_what_could_not_be_checked_is_never_well(
    is_well: bool, quarantined: int, interrupted: bool, expected: int
) -> None:
    found = exit_status(is_well=is_well, quarantined=quarantined, interrupted=interrupted, is_checked=False)
    assert found == expected


@given(st.booleans(), st.integers(0, 5), st.booleans(), st.booleans(), st.booleans())
def test_only_what_is_well_ends_with_0(
    is_well: bool, quarantined: int, allowed: bool, interrupted: bool, is_checked: bool
) -> None:
    found = exit_status(
        is_well=is_well,
        quarantined=quarantined,
        allow_quarantined=allowed,
        interrupted=interrupted,
        is_checked=is_checked,
    )
    assert (found == 0) == (is_well and is_checked and not interrupted and (allowed or not quarantined))


def test_errors_end_with_a_status_of_the_table() -> None:
    statuses = [kind("what", hint="how").exit_status for kind in (TryAgain, Halt, Refused, Interrupted)]
    assert statuses == [ExitStatus.LEFT, ExitStatus.LEFT, ExitStatus.REFUSED, ExitStatus.INTERRUPTED]
    assert set(MEANINGS) == set(ExitStatus)
