"""A whole migration on the session's PostgreSQL and S3 server, and what the S3 server lacks, for docs/compatibility.md."""

from __future__ import annotations

import psycopg
from tests.support.compatibility import DOCUMENTS, migrate_there_and_back
from tests.support.data_room import Room

S3 = "ministack"


def test_a_whole_migration_there_and_back(application_database, s3_server, bucket, everything, figure):
    room = Room(application_database, bucket, s3_server, prefix=f"whole-{bucket}", credentials=everything)
    report = migrate_there_and_back(room)
    assert report["documents_migrated"] == DOCUMENTS
    with psycopg.connect(application_database) as connection:
        version = connection.info.parameter_status("server_version")
    figure("databases", server=f"PostgreSQL {version}")
    figure("servers", server=S3, lacks=sorted(report["not_offered"]))
