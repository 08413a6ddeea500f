"""The tests of the same name, on a second and independent S3 server."""

from tests.acceptance.test_second_run import *  # noqa: F403
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE
