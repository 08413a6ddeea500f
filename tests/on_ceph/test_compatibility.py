"""What the Ceph gateway lacks, for docs/compatibility.md."""

from __future__ import annotations

from tests.conftest import EVERYTHING
from tests.reliability.conftest import figure
from tests.support.compatibility import DOCUMENTS, migrate_there_and_back
from tests.support.data_room import Room
from tests.support.rooms import SETTINGS_ON_CEPH as SETTINGS

__all__ = ["figure"]


def test_a_whole_migration_there_and_back(application_database, s3_server, bucket, figure):
    keys = s3_server.user("compatibility", EVERYTHING)
    room = Room(application_database, bucket, s3_server, prefix=f"whole-{bucket}", credentials=keys)
    room.more |= SETTINGS
    report = migrate_there_and_back(room)
    assert report["documents_migrated"] == DOCUMENTS
    figure("servers", server="Ceph RGW", lacks=sorted(report["not_offered"]))
