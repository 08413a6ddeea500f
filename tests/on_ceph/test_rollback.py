"""The tests of the same name, on a second and independent S3 server. Its one user may do everything."""

from tests.acceptance.test_rollback import *  # noqa: F403
