"""The tests of the same name, over what a run on a second and independent S3 server left."""

from tests.acceptance.test_check_can_fail import *  # noqa: F403
