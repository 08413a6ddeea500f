"""Who attacks whom, what an answer means, and what follows from all of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.truth_tables import truth_table

from rehouse.core.isolation import (
    ALL_PAIRS_UP_TO,
    FORGERIES,
    MEANINGS,
    NEED_AN_OBJECT,
    Attack,
    Outcome,
    Verdict,
    attacks_on,
    choose_pairs,
    conclude,
    is_sampled,
    judge,
    operations_of,
)

STATUSES = {"2xx": (200, 204, 206), "any": (200, 403, 404, 412, 416)}


@pytest.mark.parametrize("line", truth_table(judge), ids=" ".join)
def test_an_answer_means_what_the_table_says(line: tuple[str, ...]) -> None:
    attack, status, code, verdict = line
    attacks = tuple(Attack) if attack == "any" else (Attack(attack),)
    statuses = STATUSES[status] if status in STATUSES else (int(status),)
    found = {judge(each, number, code or None) for each in attacks for number in statuses}
    assert found == {Verdict(verdict)}


@given(st.sampled_from(Attack), st.integers(0, 599), st.none() | st.text(max_size=30))
def test_only_a_refusal_counts_as_denied(attack: Attack, status: int, code: str | None) -> None:
    if judge(attack, status, code) is Verdict.DENIED:
        assert status in {200, 403}
        assert code is not None


@pytest.mark.parametrize("attack", Attack)
@pytest.mark.parametrize("status", [0, 301, 400, 401, 409, 429, 500, 503])
def test_a_failure_of_another_kind_proves_nothing(attack: Attack, status: int) -> None:
    for code in (None, "SlowDown", "InternalError", "Unreachable", "MethodNotAllowed", "AccessDenied"):
        assert judge(attack, status, code) is Verdict.NOT_KNOWN


@pytest.mark.parametrize("attack", sorted({*Attack} - FORGERIES))
def test_a_wrong_signature_denies_only_forged_urls(attack: Attack) -> None:
    assert judge(attack, 403, "SignatureDoesNotMatch") is Verdict.NOT_KNOWN
    assert {judge(each, 403, "SignatureDoesNotMatch") for each in FORGERIES} == {Verdict.DENIED}


def test_every_attack_is_explained() -> None:
    assert set(MEANINGS) == set(Attack)


def test_an_empty_bucket_is_attacked_without_reads() -> None:
    assert attacks_on(has_object=True, has_version=True) == list(Attack)
    assert {*Attack} - {*attacks_on(has_object=True, has_version=False)} == {Attack.GET_VERSION}
    assert {*Attack} - {*attacks_on(has_object=False, has_version=False)} == NEED_AN_OBJECT


@given(st.integers(0, ALL_PAIRS_UP_TO), st.integers())
def test_up_to_fifty_tenants_all_pairs_are_tried(count: int, seed: int) -> None:
    pairs = choose_pairs(range(count), seed)
    assert not is_sampled(count)
    assert sorted(pairs) == [(one, other) for one in range(count) for other in range(count) if one != other]


@given(st.integers(ALL_PAIRS_UP_TO + 1, 300), st.integers(), st.integers(1, 60))
def test_a_sample_treats_all_tenants_alike(count: int, seed: int, each: int) -> None:
    pairs = choose_pairs(range(count), seed, victims_each=each)
    assert is_sampled(count)
    assert len(set(pairs)) == len(pairs)
    assert all(one != other for one, other in pairs)
    expected = dict.fromkeys(range(count), min(each, count - 1))
    assert Counter(one for one, _ in pairs) == Counter(other for _, other in pairs) == expected
    assert pairs == choose_pairs(range(count), seed, victims_each=each)


def test_another_seed_gives_another_sample() -> None:
    assert len({tuple(choose_pairs(range(200), seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize("line", truth_table(conclude), ids=" ".join)
@pytest.mark.parametrize("some", [1, 7])
def test_the_outcome_is_the_table_s(line: tuple[str, ...], some: int) -> None:
    counts = {"some": (some,), "0": (0,), "": (0, some)}
    leaked, certified, not_known, denied, outcome = line
    for is_certified in {"yes": (True,), "no": (False,), "": (True, False)}[certified]:
        for unknown in counts[not_known]:
            for refused in counts[denied]:
                for reached in counts[leaked]:
                    found = conclude(is_certified=is_certified, denied=refused, leaked=reached, not_known=unknown)
                    assert found is Outcome(outcome)


@given(st.booleans(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_nothing_is_proven_by_what_was_not_checked(is_certified: bool, denied: int, leaked: int, unknown: int) -> None:
    found = conclude(is_certified=is_certified, denied=denied, leaked=leaked, not_known=unknown)
    assert (found is Outcome.PROVEN) == (is_certified and denied > 0 and leaked == unknown == 0)
    assert (found is Outcome.LEAK) == (leaked > 0)


def test_each_attack_of_a_pair_has_a_price() -> None:
    assert operations_of(3) == {"get": 21, "list": 12, "put": 9, "delete": 3, "copy": 3, "create": 3}
