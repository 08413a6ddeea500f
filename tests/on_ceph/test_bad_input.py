"""Bad input on a second and independent S3 server: each refusal of the real command where that server has a say.

It tells nobody whose keys they are, so wrong ones are refused by the bucket that was asked.
"""

from __future__ import annotations

import pytest
from tests.acceptance.bad_input.conftest import small_world, world  # noqa: F401
from tests.acceptance.bad_input.test_commands import CASES
from tests.acceptance.bad_input.test_slugs import (  # noqa: F401
    test_an_unknown_slug_is_refused_by_the_real_command,
    test_whatever_a_tenants_slug_is_its_migration_works,
)
from tests.support.bad_input import assert_refused
from tests.support.command import World


@pytest.mark.parametrize("case", ["no keys", "no such profile", "endpoint down", "missing shared bucket"])
def test_the_command_refuses_and_says_why(world: World, case: str) -> None:  # noqa: F811
    changed, subjects = CASES[case]
    assert_refused(world, world.run("migrate", "acme-corp", **changed(world)), *subjects)


@pytest.mark.parametrize("command", [("migrate", "acme-corp"), ("verify", "acme-corp"), ("plan",)], ids=" ".join)
@pytest.mark.parametrize("case", ["wrong access key", "wrong secret key"])
def test_wrong_keys_are_refused_by_the_bucket(world: World, case: str, command: tuple[str, ...]) -> None:  # noqa: F811
    changed, (_, variable) = CASES[case]
    assert_refused(world, world.run(*command, **changed(world)), world.shared, variable)


@pytest.mark.skip(
    reason="the command line, rehouse.toml, the log, the database and slugs nobody has: S3 is never asked"
)
def test_what_is_refused_before_s3_is_asked() -> None:
    """In place of the rest of test_commands.py and test_slugs.py."""


@pytest.mark.skip(reason="a pooler and row security are the database's affair; an expired token is played by a stub")
def test_surroundings() -> None:
    """In place of test_surroundings.py."""
