"""Which errors of PostgreSQL are about a row: the table of `is_about_rows`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehouse.core.row_refusals import LONGEST_MESSAGE, ROW_REFUSED, Refusal, fault_of, is_about_rows

ROWS = [
    "22001",
    "22003",
    "23502",
    "23503",
    "23505",
    "23514",
    "23P01",
    "27000",
    "44000",
    "54000",
    "P0001",
    "XX000",
    "ABCDE",
]
NOT_ROWS = ["08006", "25006", "28000", "40001", "40P01", "53100", "53200", "55P03", "57014", "57P01", "58030", "XX001"]
STATEMENT = ["42501", "42703", "42804", "428C9", "0A000"]


@pytest.mark.parametrize("state", ROWS)
def test_what_refuses_one_row_is_about_rows(state: str) -> None:
    assert is_about_rows(Refusal(state, "no"))


@pytest.mark.parametrize("state", NOT_ROWS)
@pytest.mark.parametrize("is_within", [True, False])
def test_what_the_session_or_the_server_fails_with_is_not(state: str, is_within: bool) -> None:
    assert not is_about_rows(Refusal(state, "no", is_within_function=is_within))


@pytest.mark.parametrize("state", STATEMENT)
def test_a_refused_statement_is_about_rows_only_in_a_trigger(state: str) -> None:
    assert not is_about_rows(Refusal(state, "no"))
    assert is_about_rows(Refusal(state, "no", is_within_function=True))


def test_an_error_of_the_driver_is_not_about_rows() -> None:
    assert not is_about_rows(Refusal(None, None))


@given(st.from_regex(r"[0-9A-Z]{5}", fullmatch=True), st.text(max_size=2000), st.booleans())
def test_every_answer_is_judged_and_told_briefly(state: str, message: str, is_within: bool) -> None:
    refusal = Refusal(state, message, is_within_function=is_within)
    assert isinstance(is_about_rows(refusal), bool)
    fault = fault_of(refusal)
    assert fault.code == ROW_REFUSED
    assert state in fault.message
    assert len(fault.message) < LONGEST_MESSAGE + 100
