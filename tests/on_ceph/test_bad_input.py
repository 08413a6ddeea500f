"""Bad input on a second and independent S3 server: each refusal of the real command where that server has a say.

It tells nobody whose keys they are, so wrong ones are refused by the bucket that was asked.
"""

from __future__ import annotations

import pytest
from tests.support.bad_input import CASES, assert_refused, small_room_on, unchanged
from tests.support.data_room import Room

small_room = pytest.fixture(small_room_on, scope="session", name="small_room")
room = pytest.fixture(unchanged, name="room")


@pytest.mark.parametrize("case", ["no keys", "no such profile", "endpoint down", "missing shared bucket"])
def test_the_command_refuses_and_says_why(room: Room, case: str) -> None:
    changed, subjects = CASES[case]
    assert_refused(room, room.run("migrate", "acme-corp", **changed(room)), *subjects)


@pytest.mark.parametrize("command", [("migrate", "acme-corp"), ("verify", "acme-corp"), ("plan",)], ids=" ".join)
@pytest.mark.parametrize("case", ["wrong access key", "wrong secret key"])
def test_wrong_keys_are_refused_by_the_bucket(room: Room, case: str, command: tuple[str, ...]) -> None:
    changed, (_, variable) = CASES[case]
    assert_refused(room, room.run(*command, **changed(room)), room.shared, variable)
