"""The tests of the same name, on a second and independent S3 server."""

import pytest
from tests.acceptance.test_older_tools_faults import *  # noqa: F403
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE


@pytest.mark.skip(
    reason="Ceph blocks every upload under BlockPublicAcls, misreads our policy and has no access logging"
)
def test_5_a_bucket_named_before_it_was_made_or_configured_is_finished() -> None:
    """In place of the one that looks at each of these settings."""
