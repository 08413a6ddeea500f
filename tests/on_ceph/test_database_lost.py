"""The tests of the same name, on a second and independent S3 server."""

from tests.acceptance.test_database_lost import *  # noqa: F403
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE
