"""Ids that are unique only within a tenant: no statement for one tenant's document touches another tenant's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.data_room import Room

from rehouse.core.errors import DatabaseRefused
from rehouse.core.lifecycle import Phase, Status
from rehouse.operations.checks.check import Outcome
from rehouse.operations.checks.database import IDS, check_database
from rehouse.operations.finish import finish_one
from rehouse.operations.init import initialise, statements
from rehouse.operations.rollback import roll_back_one

IDS_OF_ALL = ("1", "2", "3")
Rows = dict[tuple[str | None, str], tuple[str | None, str]]


@pytest.fixture(params=["tenant_id, id", "id, tenant_id"])
def shared_ids(room: Room, request: pytest.FixtureRequest) -> Room:
    """A room in which two tenants and nobody have documents of the same ids, with NULL buckets and empty ones."""
    room.sql(f"ALTER TABLE documents DROP CONSTRAINT documents_pkey, ADD UNIQUE ({request.param})")
    room.tenant("globex")
    for slug in ("acme", "globex", None):
        for number, document_id in enumerate(IDS_OF_ALL):
            room.put(f"{slug}/{document_id}", f"{slug} {document_id}".encode())
            room.row(document_id, f"{slug}/{document_id}", slug=slug or "nobody", bucket="" if number == 1 else None)
    return room


def rows(room: Room) -> Rows:
    """Return where each row points, by its tenant's slug and its id."""
    query = "SELECT t.slug, d.id, s3_bucket, s3_key FROM documents d LEFT JOIN tenants t ON t.id = d.tenant_id"
    return {(slug, document_id): (bucket, key) for slug, document_id, bucket, key in room.sql(query)}


def of(pointers: Rows, *slugs: str | None) -> Rows:
    return {who: where for who, where in pointers.items() if who[0] in slugs}


def assert_readable(room: Room) -> None:
    for (slug, document_id), (bucket, key) in rows(room).items():
        body = room.root.get_object(Bucket=bucket or room.shared, Key=key)["Body"].read()
        assert body == f"{slug} {document_id}".encode()


def buckets(pointers: Rows) -> set[str | None]:
    return {bucket for bucket, _ in pointers.values()}


def roll_back(room: Room, slug: str) -> Status:
    with room.services() as services:
        return roll_back_one(services, services.ledger.tenant(slug)).status


def finish(room: Room, slug: str) -> Phase | None:
    with room.services() as services:
        return finish_one(services, services.ledger.tenant(slug), grace=timedelta(0)).phase


def test_a_migration_writes_no_row_of_another_tenant(shared_ids: Room) -> None:
    before = rows(shared_ids)
    assert shared_ids.migrate("acme").status is Status.COMPLETED
    after = rows(shared_ids)
    assert of(after, "globex", None) == of(before, "globex", None)
    assert buckets(of(after, "acme")) == {shared_ids.home("acme")}
    assert_readable(shared_ids)


def test_two_tenants_go_there_and_back_and_through_finish(shared_ids: Room) -> None:
    for slug in ("acme", "globex"):
        assert shared_ids.migrate(slug, batch_size=2).status is Status.COMPLETED
    assert_readable(shared_ids)
    before = rows(shared_ids)
    assert roll_back(shared_ids, "acme") is Status.ROLLED_BACK
    assert of(rows(shared_ids), "globex", None) == of(before, "globex", None)
    assert buckets(of(rows(shared_ids), "acme")) == {shared_ids.shared}
    assert roll_back(shared_ids, "acme") is Status.ROLLED_BACK
    assert_readable(shared_ids)
    assert shared_ids.migrate("acme").status is Status.COMPLETED
    for slug in ("acme", "globex"):
        assert finish(shared_ids, slug) is Phase.FINISHED
        assert shared_ids.verify(slug).is_well
    assert_readable(shared_ids)
    assert shared_ids.keys(shared_ids.shared) == [f"None/{document_id}" for document_id in IDS_OF_ALL]
    assert of(rows(shared_ids), None) == of(before, None)


def test_a_deleted_documents_late_write_is_nobody_elses(shared_ids: Room) -> None:
    shared_ids.migrate("acme")
    home = shared_ids.home("acme")
    roll_back(shared_ids, "acme")
    shared_ids.sql("DELETE FROM documents WHERE id = '1' AND s3_key = 'acme/1'")
    shared_ids.put("documents/1/1.txt", b"late", home)
    assert roll_back(shared_ids, "acme") is Status.ROLLED_BACK
    assert_readable(shared_ids)


def test_a_document_given_away_is_told_by_its_pointer(shared_ids: Room) -> None:
    shared_ids.migrate("acme")
    home = shared_ids.home("acme")
    roll_back(shared_ids, "acme")
    shared_ids.sql("DELETE FROM documents WHERE id = '1' AND s3_key = 'globex/1'")
    shared_ids.sql("UPDATE documents SET tenant_id = 2 WHERE id = '1' AND s3_key = 'acme/1'")
    shared_ids.put("documents/1/1.txt", b"late", home)
    with shared_ids.services() as services:
        report = roll_back_one(services, services.ledger.tenant("acme"))
    assert [each.document_id for each in report.outstanding] == ["1"]
    assert "given to another tenant" in str(report.outstanding[0].message)


@pytest.mark.parametrize(
    "index",
    [
        None,
        "CREATE INDEX ON documents (tenant_id, id)",
        "CREATE UNIQUE INDEX ON documents (tenant_id, id) WHERE s3_key <> ''",
        "CREATE UNIQUE INDEX ON documents (tenant_id, lower(id))",
        "CREATE UNIQUE INDEX ON documents (tenant_id, id, s3_key)",
    ],
)
def test_ids_without_a_unique_index_are_refused_at_once(room: Room, index: str | None) -> None:
    room.sql("ALTER TABLE documents DROP CONSTRAINT documents_pkey")
    if index:
        room.sql(index)
    for command in (initialise, statements):
        with pytest.raises(
            DatabaseRefused, match=r"documents has no valid unique index on \(tenant_id, id\)"
        ) as refused:
            command(room.settings)
        assert "CREATE UNIQUE INDEX CONCURRENTLY" in refused.value.hint
        assert '"public"."documents" ("tenant_id", "id")' in refused.value.hint
    with pytest.raises(DatabaseRefused, match="unique index"):
        room.migrate()
    assert room.sql("SELECT to_regclass('s3_migrations')") == [(None,)]
    check = {each.subject: each for each in check_database(room.settings)}[IDS]
    assert check.outcome is Outcome.FAILED
    room.sql(refused.value.hint)
    room.documents("a")
    assert room.migrate().status is Status.COMPLETED


def test_tenants_of_one_id_are_refused(room: Room) -> None:
    room.sql("ALTER TABLE tenants DROP CONSTRAINT tenants_pkey CASCADE")
    with pytest.raises(DatabaseRefused, match=r"tenants has no valid unique index on \(id\)"):
        initialise(room.settings)


def test_rows_without_an_id_are_refused(room: Room) -> None:
    room.sql("ALTER TABLE documents DROP CONSTRAINT documents_pkey")
    room.sql("ALTER TABLE documents ADD UNIQUE (tenant_id, id), ALTER COLUMN id DROP NOT NULL")
    room.documents("a")
    assert room.migrate().status is Status.COMPLETED
    room.row("b", "k/b")
    room.sql("UPDATE documents SET id = NULL WHERE id = 'b'")
    with pytest.raises(DatabaseRefused, match="rows whose id is NULL"):
        room.migrate()
