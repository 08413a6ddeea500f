"""Bad input on a second and independent S3 server: each refusal of the real command where that server has a say.

It tells nobody whose keys they are, so wrong ones are refused by the bucket that was asked.
"""

from __future__ import annotations

import pytest
from tests.support.bad_input import CASES, assert_refused, small_world_on, unchanged
from tests.support.command import World

small_world = pytest.fixture(small_world_on, scope="session", name="small_world")
world = pytest.fixture(unchanged, name="world")


@pytest.mark.parametrize("case", ["no keys", "no such profile", "endpoint down", "missing shared bucket"])
def test_the_command_refuses_and_says_why(world: World, case: str) -> None:
    changed, subjects = CASES[case]
    assert_refused(world, world.run("migrate", "acme-corp", **changed(world)), *subjects)


@pytest.mark.parametrize("command", [("migrate", "acme-corp"), ("verify", "acme-corp"), ("plan",)], ids=" ".join)
@pytest.mark.parametrize("case", ["wrong access key", "wrong secret key"])
def test_wrong_keys_are_refused_by_the_bucket(world: World, case: str, command: tuple[str, ...]) -> None:
    changed, (_, variable) = CASES[case]
    assert_refused(world, world.run(*command, **changed(world)), world.shared, variable)
