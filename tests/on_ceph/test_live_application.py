"""The tests of the same name, on a second and independent S3 server."""

from tests.acceptance.test_live_application import *  # noqa: F403
