"""The tests of the same name, on a second and independent S3 server. Its one user may do everything."""

import pytest
from tests.acceptance.test_finish import *  # noqa: F403
from tests.acceptance.test_finish import DOCUMENTS, downloads
from tests.support.sampling import LONG_SAMPLE

pytestmark = LONG_SAMPLE


@pytest.mark.skip(reason="Ceph has one user here, who may do everything")
def test_the_rights_of_a_migration_remove_nothing() -> None:
    """In place of the one that works under the rights of a migration."""


def test_what_is_left_is_told_and_the_emptied_bucket_goes_under_the_same_rights(moved) -> None:
    """In place of the one that counts markers: whether conditions are honoured was asked of a key that then has a marker."""
    root = moved.server.root()
    root.put_bucket_versioning(Bucket=moved.shared, VersioningConfiguration={"Status": "Enabled"})
    moved.json("finish", "a", "--yes")
    [after] = moved.json("cleanup")["buckets"]
    assert after["left"] == []
    assert after["older"]["delete_markers"] == DOCUMENTS + 1
    assert moved.json("cleanup", "--drop-bucket", moved.shared, "--yes")["buckets"][0]["removed"] is True
    assert moved.shared not in {each["Name"] for each in root.list_buckets()["Buckets"]}
    assert len(downloads(moved)) == DOCUMENTS
