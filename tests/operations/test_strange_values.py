"""Values that PostgreSQL has and Python or S3 has not: they are one document's trouble, and nobody's run ends."""

from __future__ import annotations

import hashlib

import pytest
from tests.support.data_room import Room

from rehouse.core.lifecycle import Status
from rehouse.operations import finish as finishing
from rehouse.operations import status as standing
from rehouse.operations.accept import accept
from rehouse.operations.init import initialise
from rehouse.operations.plan import plan

NOISE = "".join(hashlib.sha256(str(number).encode()).hexdigest() for number in range(50_000))
"""Three megabytes that do not compress."""
TIMES = ("infinity", "-infinity", "0044-03-15 12:00:00 BC", "20000-01-01", "9999-12-31 23:59:59.999999", "0001-01-01")


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_times_out_of_range_are_no_obstacle(room: Room, kind: str) -> None:
    room.sql(f"ALTER TABLE documents ALTER uploaded_at TYPE {kind}")
    room.documents(*(f"d{number}" for number in range(len(TIMES))))
    for number, time in enumerate(TIMES):
        room.sql("UPDATE documents SET uploaded_at = %s WHERE id = %s", time, f"d{number}")
    room.row("lost", "k/lost", bucket=room.shared, uploaded_at="infinity")
    report = room.migrate()
    assert (report.documents_migrated, report.errors) == (len(TIMES), 1)
    assert [each.code for each in report.outstanding] == ["missing_object"]
    assert room.verify().count("missing") == 1


def test_texts_of_megabytes_are_invalid_keys(room: Room) -> None:
    room.sql("ALTER TABLE documents ALTER s3_key TYPE text, ALTER s3_bucket TYPE text, ALTER original_name TYPE text")
    room.documents("a", "named")
    room.sql("UPDATE documents SET original_name = %s WHERE id = 'named'", f"{NOISE}.pdf")
    room.row("whole", f"data:application/pdf;base64,{NOISE}", bucket=room.shared)
    room.row("bucket", "k/a", bucket=NOISE)
    room.row("later", "k/later")
    initialise(room.settings)
    room.sql("UPDATE documents SET s3_key = %s WHERE id = 'later'", NOISE)
    with room.services(writes=False) as services:
        (planned,) = plan(services, services.ledger.tenants()).tenants
    told = {each.document_id: each for each in planned.quarantined}
    assert {document_id: each.code for document_id, each in told.items()} == {
        "whole": "invalid_key", "bucket": "unknown_bucket", "later": "invalid_key",
    }  # fmt: skip
    assert "3200028 characters" in told["whole"].message
    assert told["whole"].key == f"data:application/pdf;base64,{NOISE[:52]}... (3200028 characters)"
    assert all(len(f"{each}") < 2000 for each in told.values())
    for _ in range(2):  # the second run knows them as the first did
        report = room.migrate()
        assert (report.documents_migrated, report.status) == (2, Status.FAILED)
        assert {each.document_id for each in report.outstanding} == set(told)
    with room.services() as services:
        tenant = services.ledger.tenant("acme")
        assert all(len(f"{each}") < 2000 for each in standing.errors(services.ledger, [tenant]))
        accept(services, tenant, sorted(told), "they hold the document itself")
    report = room.migrate()
    assert (report.accepted, report.errors, report.status) == (3, 0, Status.COMPLETED)
    room.sql("UPDATE s3_migration_documents SET flipped_at = now() - interval '8 days'")
    with room.services() as services:
        finished = finishing.finish_one(services, services.ledger.tenant("acme"), grace=services.settings.grace)
    assert (finished.sources_removed, finished.errors) == (2, 0)


def test_our_index_cannot_fail_the_applications_statements(room: Room) -> None:
    room.sql("ALTER TABLE documents ALTER s3_key TYPE text, ALTER s3_bucket TYPE text")
    room.sql("CREATE INDEX rehouse_documents_by_object ON documents (s3_bucket, s3_key)")  # of an older version
    initialise(room.settings)
    room.row("long", NOISE, bucket=NOISE)
    room.documents("a")
    names = {row[0] for row in room.sql("SELECT indexname FROM pg_indexes WHERE tablename = 'documents'")}
    assert "rehouse_documents_by_pointer" in names
    assert "rehouse_documents_by_object" not in names
    room.sql("SET enable_seqscan = off")
    found = room.sql(
        "EXPLAIN SELECT 1 FROM documents d WHERE d.s3_bucket = 'b' AND d.s3_key = ANY('{k/a,k/b}'::text[]) "
        "AND octet_length(s3_key) + coalesce(octet_length(s3_bucket), 0) <= 2048"
    )
    assert "rehouse_documents_by_pointer" in str(found)
