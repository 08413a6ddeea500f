"""Uninstall takes away what init made and nothing else, and not while a tenant needs the ledger."""

from __future__ import annotations

import psycopg
import pytest
from pydantic import SecretStr
from tests.support.data_room import Room
from tests.support.schema_objects import objects

from rehouse.config import Settings
from rehouse.core.errors import DatabaseRefused, Refused, TryAgain
from rehouse.ledger.lock import Locks
from rehouse.operations.init import initialise
from rehouse.operations.rollback import roll_back_one
from rehouse.operations.uninstall import uninstall


@pytest.fixture
def settings(application_database: str) -> Settings:
    return Settings(database_url=SecretStr(application_database), shared_bucket=("shared",))


def run(settings: Settings, *statements: str) -> None:
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def roll_back(room: Room) -> None:
    with room.services() as services:
        roll_back_one(services, services.ledger.tenant("acme"))


def test_everything_goes_and_nothing_else(settings: Settings) -> None:
    url = settings.require_database_url()
    before = objects(url)
    initialise(settings)
    made = objects(url)
    foreseen = uninstall(settings, dry_run=True, columns=True, usage=True)
    assert objects(url) == made, "a dry run changes nothing"
    assert uninstall(settings, columns=True, usage=True).removed == foreseen.removed
    assert objects(url) == before
    assert uninstall(settings, columns=True, usage=True).removed == []
    initialise(settings)
    assert objects(url) == made, "and init makes it again"


def test_usage_and_columns_stay_unless_asked_for(settings: Settings) -> None:
    run(settings, "INSERT INTO tenants (name, slug) VALUES ('A', 'a')", "ALTER TABLE documents ADD s3_checksum text")
    initialise(settings)
    run(
        settings,
        "BEGIN ISOLATION LEVEL SERIALIZABLE;"
        " INSERT INTO documents (id, tenant_id, original_name, filename, size) VALUES ('one', 1, '', '', 7); COMMIT",
    )
    assert [*uninstall(settings).kept] == ["tenant_usage"]
    with psycopg.connect(settings.require_database_url()) as connection:
        counted = "SELECT DISTINCT documents_count, storage_used_bytes FROM tenant_usage"
        assert connection.execute(counted).fetchall() == [(1, 7)], "what was pending was added"
        connection.execute("SELECT s3_version_id, s3_checksum FROM documents")
    run(settings, "UPDATE documents SET size = 8")


def test_a_column_that_was_there_before_is_kept(settings: Settings) -> None:
    run(settings, "ALTER TABLE documents ADD s3_checksum text", "ALTER TABLE documents DROP s3_bucket")
    initialise(settings)
    run(
        settings,
        "INSERT INTO documents (id, original_name, filename, size, s3_bucket) VALUES ('one', '', '', 7, 'home')",
    )
    made = uninstall(settings, columns=True)
    assert made.kept["documents.s3_bucket"] == "the only record of the bucket of 1 row"
    assert [name for name in made.removed if "column" in name] == [
        "the column documents.s3_version_id",
        "the column documents.s3_migrated_at",
    ]


def test_the_older_tools_table_is_kept(settings: Settings, older_tool_database: str) -> None:
    older = settings.model_copy(update={"database_url": SecretStr(older_tool_database)})
    initialise(older)
    assert uninstall(older).kept["s3_migrations"] == "it was there before rehouse"


def test_a_tenant_that_is_cut_over_keeps_the_ledger(room: Room) -> None:
    room.documents("a", "b")
    room.migrate()
    before = objects(room.settings.require_database_url())
    for dry_run in (True, False):
        with pytest.raises(Refused, match=r"need the ledger.*\(cut_over, 2 moved\)") as refused:
            uninstall(room.settings, dry_run=dry_run)
        assert "rehouse rollback" in refused.value.hint
    assert objects(room.settings.require_database_url()) == before
    roll_back(room)
    assert "the table s3_migrations" in uninstall(room.settings).removed


def test_a_way_back_that_is_not_over_keeps_the_ledger(room: Room) -> None:
    """Its home was given back, and a row is still there: a rollback that was killed leaves the same."""
    room.documents("a", "b")
    room.migrate()
    room.sql("ALTER TABLE documents ADD CONSTRAINT stays CHECK (id <> 'b') NOT VALID")
    roll_back(room)
    assert room.sql("SELECT phase FROM s3_migrations") == [("rolled_back",)]
    with pytest.raises(Refused, match=r"need the ledger.*\(rolled_back"):
        uninstall(room.settings)
    room.sql("ALTER TABLE documents DROP CONSTRAINT stays")
    roll_back(room)
    assert "the table s3_migrations" in uninstall(room.settings).removed


def test_whoever_works_on_a_tenant_keeps_the_ledger(room: Room) -> None:
    room.documents("a")
    room.migrate()
    roll_back(room)
    [(tenant,)] = room.sql("SELECT tenant_id FROM s3_migrations")
    with Locks(room.settings.require_database_url()) as locks:
        locks.acquire(tenant)
        with pytest.raises(TryAgain, match="another operator"):
            uninstall(room.settings)
    assert room.sql("SELECT count(*) FROM s3_migrations") == [(1,)]


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (
            "INSERT INTO s3_upload_grants (grant_id, tenant_id, document_id, bucket, temp_key, name, size, content_type,"
            " expires_at) VALUES (gen_random_uuid(), 1, 'd', 'b', 'temp/k', 'n', 1, 'text/plain', now())",
            "1 upload",
        ),
        (
            "INSERT INTO s3_pending_deletions (tenant_id, document_id, bucket, key) VALUES (1, 'd', 'b', 'k')",
            "1 object",
        ),
    ],
)
def test_what_uploads_left_keeps_the_ledger(settings: Settings, left: str, told: str) -> None:
    initialise(settings)
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        connection.execute(left.encode())
        before = objects(settings.require_database_url())
        for dry_run in (True, False):
            with pytest.raises(Refused, match=f"the only record of .*{told}") as refused:
                uninstall(settings, dry_run=dry_run)
            assert "sweep" in refused.value.hint
        assert objects(settings.require_database_url()) == before
        connection.execute("UPDATE s3_upload_grants SET state = 'confirmed'; DELETE FROM s3_pending_deletions")
    assert uninstall(settings).removed


def test_what_else_depends_on_it_is_named(settings: Settings) -> None:
    initialise(settings)
    run(settings, "CREATE VIEW report AS SELECT status FROM s3_migrations")
    before = objects(settings.require_database_url())
    with pytest.raises(DatabaseRefused, match="view report depends on"):
        uninstall(settings)
    assert objects(settings.require_database_url()) == before


def test_an_open_transaction_is_not_queued_behind(settings: Settings) -> None:
    initialise(settings)
    with psycopg.connect(settings.require_database_url()) as reader:
        reader.execute("SELECT count(*) FROM documents")
        with pytest.raises(TryAgain, match="another transaction holds the table"):
            uninstall(settings, patience_seconds=0.1)
    assert uninstall(settings).removed
