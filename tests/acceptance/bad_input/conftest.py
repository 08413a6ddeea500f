"""A small room that is never initialised, and that nothing here may change."""

from __future__ import annotations

import pytest
from tests.support.bad_input import small_room_on, unchanged

small_room = pytest.fixture(small_room_on, scope="session", name="small_room")
room = pytest.fixture(unchanged, name="room")
