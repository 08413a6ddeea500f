"""The tests of the same name, on a second and independent S3 server."""

from tests.acceptance.test_killed import *  # noqa: F403
