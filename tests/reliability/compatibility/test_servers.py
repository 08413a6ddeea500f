"""A whole migration on the session's PostgreSQL and S3 server, and what the S3 server lacks, for docs/compatibility.md."""

from __future__ import annotations

import psycopg
from tests.support.command import World
from tests.support.compatibility import DOCUMENTS, migrate_there_and_back

S3 = "ministack"


def test_a_whole_migration_there_and_back(application_database, s3_server, bucket, everything, figure):
    world = World(s3_server, application_database, bucket, f"whole-{bucket}", everything)
    report = migrate_there_and_back(world)
    assert report["documents_migrated"] == DOCUMENTS
    with psycopg.connect(application_database) as connection:
        version = connection.info.parameter_status("server_version")
    figure("databases", server=f"PostgreSQL {version}")
    figure("servers", server=S3, lacks=sorted(report["not_offered"]))
