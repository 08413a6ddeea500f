"""A small world that is never initialised, and that nothing here may change."""

from __future__ import annotations

import pytest
from tests.support.bad_input import small_world_on, unchanged

small_world = pytest.fixture(small_world_on, scope="session", name="small_world")
world = pytest.fixture(unchanged, name="world")
