"""The tests of the same name, over what a run on a second and independent S3 server left; scripts/reliability runs them."""

import pytest
from tests.acceptance.test_check_can_fail import *  # noqa: F403

pytestmark = pytest.mark.long
