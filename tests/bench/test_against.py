"""Whether paired ratios could be chance: exact for small numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.against import chance


@pytest.mark.parametrize(
    ("ratios", "likely"),
    [
        ([1.1], 1.0),  # one pair proves nothing
        ([1.1, 1.2, 1.3, 1.1, 1.2, 1.1], 2 / 2**6),  # all dearer: as extreme as its mirror image, and nothing else
        ([0.9, 0.8, 0.7, 0.9, 0.8, 0.9], 2 / 2**6),
        ([1.1] * 10, 2 / 2**10),
        ([1.0, 1.0, 1.0], 1.0),
        ([1.5, 1 / 1.5], 1.0),
    ],
)
def test_the_chance_of_ratios_is_exact(ratios: list[float], likely: float) -> None:
    assert chance(ratios) == likely


@given(st.lists(st.floats(0.2, 5), min_size=1, max_size=8))
def test_old_and_new_may_be_exchanged(ratios: list[float]) -> None:
    likely = chance(ratios)
    assert 2 / 2 ** len(ratios) - 1e-9 <= likely <= 1
    assert chance([1 / ratio for ratio in ratios]) == pytest.approx(likely, abs=2 / 2 ** len(ratios))
