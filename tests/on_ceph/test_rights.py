"""The tests of the same name, on a second and independent S3 server. Its one user may do everything."""

import pytest
from tests.acceptance.test_rights import *  # noqa: F403

NO_POLICIES = "Ceph has one user here, who may do everything: there are no policies of users to deny with"


@pytest.mark.skip(reason=NO_POLICIES)
def test_a_migration_under_an_explicit_deny_of_every_deletion_succeeds() -> None:
    """In place of the one that denies."""


@pytest.mark.skip(reason=NO_POLICIES)
def test_without_the_right_to_copy_nothing_moves_and_the_hint_names_the_way_out() -> None:
    """In place of the one that denies."""
