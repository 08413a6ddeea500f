"""The tests of the same name, on a second and independent S3 server; a minute in all, so scripts/reliability runs them.

Its one user may do everything.
"""

from tests.acceptance.test_rollback import *  # noqa: F403
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE
