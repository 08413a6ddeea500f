"""The tests of the same name, on a second and independent S3 server; a minute in all, so scripts/reliability runs them.

Its one user may do everything.
"""

import pytest
from tests.acceptance.test_rollback import *  # noqa: F403

pytestmark = pytest.mark.long
