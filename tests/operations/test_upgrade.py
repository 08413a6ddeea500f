"""A ledger that the first edition made, in the middle of a migration, is upgraded, and the migration goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
import pytest
from tests.support.data_room import Room
from tests.support.postgres_programs import BINARIES
from tests.support.rows import recorded, recounted

from rehouse.core.errors import DatabaseRefused
from rehouse.core.lifecycle import Phase, Status
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.schema.usage import REPLACED_TRIGGERS, TRIGGERS
from rehouse.operations.init import initialise
from rehouse.operations.uninstall import uninstall

FIRST = Path(__file__).parents[1] / "ledger" / "ledger_0001.sql"
"""What `rehouse init --sql` of version 0.1 printed for the sample application."""
TABLES = ("s3_migrations", "s3_migration_documents", "s3_migration_events")


def make_first_edition(room: Room) -> None:
    """Replace the ledger by one that the first edition made, its rows kept."""
    url = room.settings.require_database_url()
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE aside_{table} AS SELECT * FROM {table}".encode())
    uninstall(room.settings, columns=True, usage=True)
    psql = [BINARIES / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url]
    subprocess.run(psql, input=FIRST.read_text(encoding="utf-8"), text=True, check=True, capture_output=True)
    common = (
        "SELECT string_agg(quote_ident(n.attname), ', ') FROM pg_attribute o JOIN pg_attribute n ON n.attname = o.attname"
        " WHERE o.attrelid = %s::regclass AND n.attrelid = %s::regclass AND n.attnum > 0 AND n.attidentity = ''"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            [columns] = connection.execute(common, (f"aside_{table}", table)).fetchone()  # type: ignore[misc]
            connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM aside_{table}".encode())
            connection.execute(f"DROP TABLE aside_{table}".encode())


def triggers(room: Room) -> set[str]:
    found = "SELECT tgname::text FROM pg_trigger WHERE tgrelid = 'documents'::regclass AND NOT tgisinternal"
    return {name for (name,) in room.sql(found)}


def test_a_migration_that_the_first_edition_began_goes_on(room: Room) -> None:
    room.documents("a", "b", "c")
    room.migrate(until=Phase.COPIED)
    make_first_edition(room)
    assert room.sql("SELECT version_num FROM rehouse_schema_version") == [("0001",)]
    assert triggers(room) == REPLACED_TRIGGERS - {"trigger_update_tenant_storage"}
    room.sql("UPDATE tenant_usage SET documents_count = 99")
    report = room.migrate()
    assert (report.status, report.phase) == (Status.COMPLETED, Phase.CUT_OVER)
    assert room.sql("SELECT version_num FROM rehouse_schema_version") == [("0002",)]
    assert triggers(room) == TRIGGERS
    assert {room.pointer(document)[0] for document in "abc"} == {room.home()}
    assert room.verify(deep=True).is_well
    assert room.sql("SELECT count(*) FROM pg_proc WHERE proname = 'rehouse_shift_usage'") == [(0,)]
    with psycopg.connect(room.settings.require_database_url(), autocommit=True) as connection:
        assert recorded(connection) == recorded(connection, month=1) == recounted(connection)
    assert initialise(room.settings).changed == []


def test_a_writer_of_the_first_edition_is_waited_for(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.COPIED)
    make_first_edition(room)
    with psycopg.connect(room.settings.require_database_url()) as writer:
        writer.execute("UPDATE documents SET size = size + 5")
        with pytest.raises(Exception, match="another transaction holds the table"):
            initialise_briefly(room)
    assert triggers(room) == REPLACED_TRIGGERS - {"trigger_update_tenant_storage"}, "the old ones until the new ones"
    initialise(room.settings)
    with psycopg.connect(room.settings.require_database_url(), autocommit=True) as connection:
        assert recorded(connection) == recorded(connection, month=1) == recounted(connection)


def initialise_briefly(room: Room) -> None:
    from rehouse.ledger import catalog, connection, schema

    with connection.connect_with(room.settings) as made:
        schema.upgrade(made, catalog.read(made, room.settings.mapping), patience_seconds=0.2)


def test_readers_of_an_older_ledger_are_told_to_upgrade(room: Room) -> None:
    room.documents("a")
    room.migrate(until=Phase.COPIED)
    make_first_edition(room)
    with pytest.raises(DatabaseRefused, match="made by an earlier rehouse") as refused:
        Ledger.open(room.settings, writes=False)
    assert refused.value.hint == "`rehouse init` upgrades it, and so does `rehouse migrate` without --plan"
