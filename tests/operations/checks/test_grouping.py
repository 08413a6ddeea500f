"""Doctor's checks summed up: nothing that is not fine is lost, nothing is said twice, the worst comes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rehouse.operations.checks.check import Check, Group, Outcome
from rehouse.operations.checks.grouping import WORST_FIRST, Problem, count, problems, summaries

CHECKS = st.lists(
    st.builds(
        Check,
        st.sampled_from(["database: ids", "database: rights", "shared: policy", "pointers"]),
        st.sampled_from(Outcome),
        st.sampled_from(["it is there", "no connection"]),
        st.sampled_from(["", "connect"]),
        st.sampled_from(Group),
    )
)


def numbers(counts: str) -> int:
    return sum(int(part.split()[0]) for part in counts.split(", ") if part != "no checks")


@given(CHECKS)
def test_what_is_not_fine_is_one_problem_each(checks: list[Check]) -> None:
    found = problems(checks)
    told = {(check.outcome, check.group, check.message, check.hint) for check in checks if check.outcome != "ok"}
    assert len(found) == len(told)
    assert {(each.outcome, each.detail, each.hint) for each in found} == {(one, *rest) for one, _, *rest in told}
    assert [each.outcome for each in found] == sorted((each.outcome for each in found), key=WORST_FIRST.index)


@given(CHECKS)
def test_every_check_is_counted_in_its_group(checks: list[Check]) -> None:
    made = summaries(checks)
    assert sum(numbers(each.counts) for each in made) == numbers(count(each.outcome for each in checks)) == len(checks)
    assert [each.group for each in made] == [group for group in Group if any(one.group is group for one in checks)]
    for each in made:
        assert not any(
            WORST_FIRST.index(check.outcome) < WORST_FIRST.index(each.outcome)
            for check in checks
            if check.group is each.group
        )


def failures(*subjects: str) -> list[Problem]:
    return problems(Check(subject, Outcome.FAILED, "no connection", "", Group.DATABASE) for subject in subjects)


def test_checks_that_found_the_same_are_named_together() -> None:
    assert [each.subject for each in failures("database: ids")] == ["database: ids"]
    assert [each.subject for each in failures("database: ids", "database: rights")] == ["database: ids; rights"]
    assert [each.subject for each in failures("database: ids", "S3: clock")] == ["database: ids; S3: clock"]
    assert [each.subject for each in failures(*(f"database: {n}" for n in range(4)))] == ["database: 4 checks"]
