"""Which cases of a long test scripts/test runs: the others are long, and CI runs them as its sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

LONG_SAMPLE = [pytest.mark.long, pytest.mark.sample]


def only(kept: Iterable[str], names: Iterable[str]) -> list[Any]:
    """Return the names as parameters; all but those `kept` are long and of CI's sample."""
    kept = set(kept)
    return [name if name in kept else pytest.param(name, marks=LONG_SAMPLE) for name in names]
