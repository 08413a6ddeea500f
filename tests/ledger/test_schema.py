"""The schema step adopts what is there, loses no row, changes nothing the second time, and says on paper what it does."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from tests.support.postgres_programs import BINARIES
from tests.support.rows import add_document, add_tenants, recorded, recounted

from rehouse.core.errors import DatabaseRefused, TryAgain
from rehouse.core.lifecycle import DocumentState, Status
from rehouse.ledger import schema
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.schema import first, statement, tables

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]
KINDS = ("integer", "uuid", "older_tool")


def dump(url: str) -> str:
    done = subprocess.run([BINARIES / "pg_dump", "-s", "-d", url], check=True, capture_output=True, text=True)
    return "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, new_database: Callable[[str | None], str]) -> str:
    return new_database(request.param)


def test_twice_changes_nothing(url: str, opened: Opener, look: Look) -> None:
    connection = opened(url)
    assert not schema.is_current(look(connection))
    assert schema.upgrade(connection, look(connection))
    once = dump(url)
    assert schema.is_current(look(connection))
    assert schema.upgrade(connection, look(connection)) == []
    assert schema.ddl(look(connection)) == ""
    assert dump(url) == once


def test_the_printed_statements_are_the_ones_that_run(
    url: str, new_database: Callable[[str | None], str], opened: Opener, look: Look, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["url"]
    other = new_database(kind)
    connection, paper = opened(url), opened(other)
    for each in (connection, paper):
        add_document(each, "one", add_tenants(each, "acme")[0], 2_000_000)
    before = dump(other)
    printed = schema.ddl(look(paper))
    assert dump(other) == before, "printing changes nothing"
    subprocess.run(
        [BINARIES / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", other], input=printed, text=True, check=True
    )
    schema.upgrade(connection, look(connection))
    assert dump(url) == dump(other)
    assert schema.is_current(look(paper))
    assert schema.upgrade(paper, look(paper)) == []
    assert recorded(paper) == recounted(paper) == [("acme", 1, 2_000_000)]


@pytest.mark.parametrize("kind", ["integer", "older_tool"])
def test_an_init_that_stopped_anywhere_is_completed(
    new_database: Callable[[str | None], str], opened: Opener, look: Look, kind: str
) -> None:
    url = new_database(kind)
    whole = opened(url)
    count = len(list(first.statements(look(whole))))
    schema.upgrade(whole, look(whole))
    for done in range(1, count, 5):
        other = new_database(kind)
        connection = opened(other)
        for each in list(first.statements(look(connection)))[:done]:
            statement.run(connection, each, statement.LockTimes())
        assert not schema.is_current(look(connection))
        schema.upgrade(connection, look(connection))
        assert sorted(dump(other).splitlines()) == sorted(dump(url).splitlines()), f"after {done} statements"


def test_an_init_that_stopped_before_its_count_counts(application_database: str, opened: Opener, look: Look) -> None:
    """The triggers are there, the count is not, and Alembic has recorded the revision before."""
    connection = opened(application_database)
    add_document(connection, "one", add_tenants(connection, "acme")[0], 7)
    for each in first.statements(look(connection)):
        if "rehouse_recount_usage()" in each.text and each.manner is statement.Manner.ALONE:
            break
        statement.run(connection, each, statement.LockTimes())
    connection.execute(
        "CREATE TABLE rehouse_schema_version (version_num varchar(32) PRIMARY KEY);"
        " INSERT INTO rehouse_schema_version VALUES ('0001')"
    )
    schema.upgrade(connection, look(connection))
    assert recorded(connection) == recounted(connection) == [("acme", 1, 7)]


def test_ids_have_the_applications_types(url: str, opened: Opener, look: Look) -> None:
    connection = opened(url)
    foreign_keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
    before = connection.execute(foreign_keys).fetchone()
    schema.upgrade(connection, look(connection))
    found = look(connection)
    for table in ("s3_migrations", "s3_migration_documents", "s3_migration_events", "tenant_usage"):
        assert found.own[table].columns["tenant_id"].type == found.tenant_id_type
    assert found.own["s3_migration_documents"].columns["document_id"].type == "character varying(255)"
    assert connection.execute(foreign_keys).fetchone() == before, "no foreign keys of ours"


def test_history_is_append_only(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    schema.upgrade(connection, look(connection))
    connection.execute("INSERT INTO s3_migration_events (event) VALUES ('x')")
    for change in (
        "UPDATE s3_migration_events SET event = 'y'",
        "DELETE FROM s3_migration_events",
        "TRUNCATE s3_migration_events",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(change)
    actor = connection.execute("SELECT actor, event FROM s3_migration_events").fetchall()
    assert actor == [("postgres", "x")]


def test_two_at_once(application_database: str, opened: Opener, look: Look) -> None:
    connections = [opened(application_database) for _ in range(3)]
    seen = [look(connection) for connection in connections]
    with ThreadPoolExecutor() as pool:
        changes = list(pool.map(schema.upgrade, connections, seen))
    assert sorted(bool(each) for each in changes) == [False, False, True]


class Recording(psycopg.Cursor[tuple[object, ...]]):
    """A cursor that remembers what was asked."""

    asked: list[str]

    def execute(self, query: object, *arguments: object, **options: object) -> Recording:
        self.asked.append(query if isinstance(query, str) else query.as_string(self))  # type: ignore[attr-defined]
        return super().execute(query, *arguments, **options)  # type: ignore[arg-type, return-value]


def recording(connection: psycopg.Connection) -> list[str]:
    asked: list[str] = []
    connection.cursor_factory = type("Recording", (Recording,), {"asked": asked})
    return asked


def test_asks_for_no_table_while_an_older_transaction_holds_it(
    application_database: str, opened: Opener, look: Look
) -> None:
    connection, reader, writer = (opened(application_database) for _ in range(3))
    (acme,) = add_tenants(writer, "acme")
    add_document(writer, "one", acme, 1)
    asked = recording(connection)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM documents")
    with ThreadPoolExecutor() as pool:
        init = pool.submit(schema.upgrade, connection, look(connection))
        try:
            until = time.monotonic() + 60
            while sum("pg_locks" in query for query in asked) < 6 and time.monotonic() < until:
                writer.execute("UPDATE documents SET status = md5(status) WHERE id = 'one'")
            assert sum("pg_locks" in query for query in asked) >= 6, "init never looked"
            assert not init.done()
            assert not [query for query in asked if query.startswith('ALTER TABLE "public"."documents"')]
        finally:
            reader.execute("COMMIT")
        assert "documents gains s3_version_id, s3_checksum, s3_migrated_at" in init.result(timeout=60)
    asks = [number for number, query in enumerate(asked) if query.startswith('ALTER TABLE "public"."documents"')]
    assert asks
    assert all(asked[number - 1] == "SET LOCAL lock_timeout = 20" for number in asks)


def test_a_lock_taken_meanwhile_is_asked_for_again(application_database: str, opened: Opener, look: Look) -> None:
    connection, holder = opened(application_database), opened(application_database)
    asked = recording(connection)
    attempts: list[int] = []

    def work() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            holder.execute("BEGIN; LOCK TABLE documents IN SHARE MODE")
        try:
            connection.execute("LOCK TABLE documents IN ACCESS EXCLUSIVE MODE")
        finally:
            holder.execute("COMMIT")

    statement.run_with_retries(connection, work, "a trial", statement.LockTimes(), table="documents")
    assert len(attempts) == 3
    assert asked.count("SET LOCAL lock_timeout = 20") == 3


def test_gives_up_on_a_lock_that_is_never_free(application_database: str, opened: Opener, look: Look) -> None:
    connection, reader = opened(application_database), opened(application_database)
    found = look(connection)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM documents")
    with pytest.raises(TryAgain, match="documents gains"):
        schema.upgrade(connection, found, lock_timeout_ms=20, patience_seconds=0.1)
    reader.execute("COMMIT")
    assert schema.upgrade(connection, found)


@pytest.mark.parametrize("kind", ["integer", "older_tool"])
def test_writers_go_on_meanwhile_and_are_counted(
    new_database: Callable[[str | None], str], opened: Opener, look: Look, kind: str
) -> None:
    url = new_database(kind)
    connection = opened(url)
    tenants = add_tenants(connection, "acme", "globex")
    stop = threading.Event()

    def write(name: int) -> int:
        own, number = opened(url), 0
        while not stop.is_set() or number < 20:
            number += 1
            add_document(own, f"{name}-{number}", tenants[number % 2], number, number % 3)
            own.execute("UPDATE documents SET size = size + 5, status = 'x' WHERE id = %s", (f"{name}-{number - 1}",))
            if number % 3 == 0:
                own.execute("DELETE FROM documents WHERE id = %s", (f"{name}-{number - 2}",))
        return number

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, name) for name in range(3)]
        try:
            assert schema.upgrade(connection, look(connection))
        finally:
            stop.set()
        assert all(writer.result(timeout=180) >= 20 for writer in writers)
    assert recorded(connection) == recounted(connection)
    assert recorded(connection, month=1) == recounted(connection)


def test_a_role_without_rights_is_told(application_database: str, postgres, opened: Opener, look: Look) -> None:
    name = "reader_" + application_database.rpartition("_")[2]
    postgres.role(name)
    opened(application_database).execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
    connection = opened(postgres.url(application_database.rpartition("/")[2], name))
    found = look(connection)
    assert schema.ddl(found), "--sql needs to read only"
    with pytest.raises(DatabaseRefused, match="lacks a right") as refused:
        schema.upgrade(connection, found)
    assert "owner" in refused.value.hint


def test_the_states_are_those_of_the_core() -> None:
    assert set(tables.STATES) == set(DocumentState)
    assert set(tables.STATUSES) == set(Status)


def test_a_newer_ledger_is_refused(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    schema.upgrade(connection, look(connection))
    connection.execute("UPDATE rehouse_schema_version SET version_num = '0107'")
    with pytest.raises(DatabaseRefused, match="has version 0107, this rehouse knows 0001 to") as refused:
        look(connection)
    assert "newer rehouse" in refused.value.hint


def test_the_head_is_alembics() -> None:
    versions = Path(schema.__file__).parent / "versions"
    assert max(path.stem.rpartition("_")[2] for path in versions.glob("ledger_*.py")) == schema.HEAD
