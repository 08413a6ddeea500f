"""The tests of the same name, on a second and independent S3 server; a minute each, so scripts/reliability runs them."""

import pytest
from tests.acceptance.test_live_application import *  # noqa: F403

pytestmark = pytest.mark.long
