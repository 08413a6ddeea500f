"""Whatever happens to usage, the application's statements go through; what was not counted is recorded and counted again."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from psycopg import errors
from tests.support.rows import add_document, add_tenants, fold, recorded, recounted, shown

from rehouse.core.errors import DatabaseRefused
from rehouse.ledger import schema
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.usage import settle_usage, usage_state

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]

RAISING = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {} RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION refuse();
"""
UNCOUNTED = {
    "the deltas are dropped": "DROP TABLE rehouse_usage_deltas",
    "all tables are dropped": "DROP TABLE rehouse_usage_deltas, rehouse_usage_faults, tenant_usage",
    "a check refuses the delta": "ALTER TABLE rehouse_usage_deltas ADD CHECK (documents > 100)",
    "a column is renamed": "ALTER TABLE rehouse_usage_deltas RENAME documents TO others",
    "a trigger refuses the delta": RAISING.format("RAISE EXCEPTION 'never';", "rehouse_usage_deltas"),
    "an assertion fails": RAISING.format("ASSERT false;", "rehouse_usage_deltas"),
    "the owner of the functions has no rights": """
        DO $$ BEGIN EXECUTE format('CREATE ROLE %I', 'nobody_' || current_database()); END $$;
        DO $$ BEGIN
          EXECUTE format('ALTER FUNCTION rehouse_usage_of_rows() OWNER TO %I', 'nobody_' || current_database());
          EXECUTE format('ALTER FUNCTION rehouse_usage_of_update() OWNER TO %I', 'nobody_' || current_database());
          EXECUTE format('ALTER FUNCTION rehouse_usage_of_truncate() OWNER TO %I', 'nobody_' || current_database());
        END $$
    """,
    "the faults cannot be recorded either": "DROP TABLE rehouse_usage_deltas; DROP FUNCTION rehouse_record_fault",
}
UNFOLDED = {
    "the usage is dropped": "DROP TABLE tenant_usage",
    "its column is dropped": "ALTER TABLE tenant_usage DROP COLUMN storage_used_bytes",
    "a check refuses the level": "ALTER TABLE tenant_usage ADD CHECK (documents_count < 1) NOT VALID",
    "a count is full": "UPDATE tenant_usage SET documents_count = 2147483647",
    "the sum is full": "UPDATE tenant_usage SET storage_used_bytes = 9223372036854775807",
    "a trigger refuses the level": RAISING.format("RAISE EXCEPTION 'never';", "tenant_usage"),
    "an assertion fails": RAISING.format("ASSERT false;", "tenant_usage"),
    "a function is dropped": "DROP FUNCTION rehouse_fold_usage",
    "the owner has no rights": """
        DO $$ BEGIN EXECUTE format('CREATE ROLE %I', 'no_rights_' || current_database()); END $$;
        DO $$ BEGIN
          EXECUTE format('ALTER FUNCTION rehouse_fold_at_commit() OWNER TO %I', 'no_rights_' || current_database());
        END $$
    """,
}


@pytest.fixture
def connection(application_database: str, opened: Opener, look: Look) -> psycopg.Connection:
    made = opened(application_database)
    add_tenants(made, "a", "b")
    add_document(made, "before", 1, 3)
    schema.upgrade(made, look(made))
    return made


def write(connection: psycopg.Connection) -> None:
    """Change documents in every way, in transactions of one and of several statements, with savepoints."""
    add_document(connection, "one", 1, 100)
    with connection.transaction():
        add_document(connection, "two", 1, 10)
        with connection.transaction():
            add_document(connection, "three", 2, 20)
        connection.execute("UPDATE documents SET size = size + 1")
        connection.execute("UPDATE documents SET tenant_id = 2 WHERE id = 'two'")
    connection.execute("DELETE FROM documents WHERE id = 'one'")


@pytest.mark.parametrize("sabotage", UNCOUNTED.values(), ids=UNCOUNTED.keys())
def test_a_change_that_cannot_be_counted_goes_through(
    connection: psycopg.Connection, look: Look, sabotage: str
) -> None:
    connection.execute(sabotage.encode())
    write(connection)
    connection.execute("TRUNCATE documents")
    add_document(connection, "last", 2, 7)
    assert recounted(connection) == [("a", 0, 0), ("b", 1, 7)]
    state = usage_state(connection, look(connection))
    assert state is None or {step for step, _, _ in state.faults} >= {"count"} or "record_fault" in sabotage


@pytest.mark.parametrize("sabotage", UNFOLDED.values(), ids=UNFOLDED.keys())
def test_a_change_that_cannot_be_folded_goes_through(connection: psycopg.Connection, look: Look, sabotage: str) -> None:
    connection.execute(sabotage.encode())
    write(connection)
    pending = connection.execute("SELECT tenant_id, sum(documents) FROM rehouse_usage_deltas GROUP BY 1").fetchall()
    assert (2, 2) in pending
    state = usage_state(connection, look(connection))
    assert state is None or [step for step, _, _ in state.faults] == ["fold"]


@pytest.mark.parametrize(
    "sabotage",
    [
        "DROP TABLE rehouse_usage_deltas",
        "DROP TABLE rehouse_usage_deltas, rehouse_usage_faults",
        "DROP TABLE rehouse_usage_deltas; DROP FUNCTION rehouse_record_fault",
        "ALTER TABLE rehouse_usage_deltas ADD CONSTRAINT no CHECK (documents > 100) NOT VALID",
    ],
)
def test_init_counts_again_what_was_not_counted(connection: psycopg.Connection, look: Look, sabotage: str) -> None:
    connection.execute(sabotage.encode())
    write(connection)
    connection.execute("ALTER TABLE IF EXISTS rehouse_usage_deltas DROP CONSTRAINT IF EXISTS no")
    assert "tenant_usage is counted" in schema.upgrade(connection, look(connection))
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)
    assert schema.upgrade(connection, look(connection)) == []


def test_a_fault_is_recorded_once_until_it_is_put_right(connection: psycopg.Connection, look: Look) -> None:
    connection.execute("ALTER TABLE rehouse_usage_deltas ADD CHECK (documents > 100)")
    for number in range(5):
        add_document(connection, str(number), 1, 1)
    [(step, code, message)] = usage_state(connection, look(connection)).faults  # type: ignore[union-attr]
    assert (step, code) == ("count", "23514")
    assert "rehouse_usage_deltas" in message


def test_a_recount_keeps_a_fault_that_it_did_not_see(
    connection: psycopg.Connection, application_database: str, opened: Opener, look: Look
) -> None:
    connection.execute("ALTER TABLE rehouse_usage_deltas ADD CONSTRAINT no CHECK (documents > 100)")
    add_document(connection, "one", 1, 1)
    writer = opened(application_database)
    writer.execute("BEGIN")
    add_document(writer, "two", 1, 1)
    connection.execute("ALTER TABLE rehouse_usage_deltas DROP CONSTRAINT no")
    schema.upgrade(connection, look(connection))
    writer.execute("COMMIT")
    assert recorded(connection) != recounted(connection)
    assert look(connection).usage_is_doubtful
    schema.upgrade(connection, look(connection))
    assert recorded(connection) == recounted(connection)
    assert not look(connection).usage_is_doubtful


def test_a_fold_that_failed_is_forgotten_once_it_went_through(connection: psycopg.Connection, look: Look) -> None:
    connection.execute("ALTER TABLE tenant_usage ADD CONSTRAINT no CHECK (documents_count < 1) NOT VALID")
    add_document(connection, "one", 1, 1)
    state = usage_state(connection, look(connection))
    assert state
    assert (state.pending, len(state.faults)) == (1, 1)
    connection.execute("ALTER TABLE tenant_usage DROP CONSTRAINT no")
    assert settle_usage(connection, look(connection))
    assert usage_state(connection, look(connection)) == (0, [])
    assert shown(connection) == recounted(connection)


def test_what_is_the_applications_own_stays_its_own(
    connection: psycopg.Connection, application_database: str, opened: Opener
) -> None:
    application = opened(application_database)
    connection.execute(RAISING.format("PERFORM pg_sleep(30);", "rehouse_usage_deltas").encode())
    application.execute("SET statement_timeout = '100ms'")
    with pytest.raises(errors.QueryCanceled):
        add_document(application, "one", 1, 1)
    application.execute("SET statement_timeout = 0")
    for code, kind in (("40001", errors.SerializationFailure), ("40P01", errors.DeadlockDetected)):
        body = f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE '{code}'; END $$"
        connection.execute(body.encode())
        with pytest.raises(kind):
            add_document(application, "one", 1, 1)
    connection.execute("DROP TRIGGER refuse ON rehouse_usage_deltas")
    connection.execute("BEGIN; LOCK TABLE rehouse_usage_deltas")
    application.execute("SET lock_timeout = '20ms'")
    with pytest.raises(errors.LockNotAvailable):
        add_document(application, "one", 1, 1)
    connection.execute("COMMIT")
    assert connection.execute("SELECT count(*) FROM rehouse_usage_faults").fetchone() == (0,)


TYPES = ["smallint", "integer", "bigint", "numeric", "numeric(20, 4)", "real", "double precision", "positive"]
VALUES = ["0", "1", "-5", "NULL", "32767"]
ODD = {"numeric": ["'NaN'", "1e300", "2.5"], "real": ["'NaN'", "'Infinity'", "'-Infinity'", "1e38"]}
ODD["double precision"] = [*ODD["real"], "1e300", "16777217.4"]


@pytest.mark.parametrize("kind", TYPES)
def test_sizes_of_every_numeric_type_are_counted(
    application_database: str, opened: Opener, look: Look, kind: str
) -> None:
    connection = opened(application_database)
    connection.execute("CREATE DOMAIN positive AS bigint CHECK (value IS NULL OR value <> 7)")
    connection.execute(
        f"ALTER TABLE documents ALTER size DROP NOT NULL, ALTER size TYPE {kind}, ALTER file_size TYPE {kind},"
        " ALTER tenant_id TYPE bigint".encode()
    )
    add_tenants(connection, "a", "b")
    schema.upgrade(connection, look(connection))
    values = [*VALUES, *ODD.get(kind, [])]
    for number, (size, file_size) in enumerate((size, file_size) for size in values for file_size in values):
        connection.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, size, file_size)"
            f" VALUES ('{number}', {1 + number % 2}, '', '', {size}, {file_size})".encode()
        )
    connection.execute("UPDATE documents SET size = 3, tenant_id = 1 WHERE id::int % 3 = 0")
    connection.execute("DELETE FROM documents WHERE id::int % 5 = 0")
    assert connection.execute("SELECT count(*) FROM rehouse_usage_faults").fetchone() == (0,)
    counted = recorded(connection)
    assert [line[1] for line in counted] == [line[1] for line in recount_documents(connection)]
    connection.execute("CALL rehouse_recount_usage()")
    assert recorded(connection) == counted, "a recount finds nothing to correct"


def recount_documents(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    counted = (
        "SELECT t.slug, count(d.id) FROM tenants t LEFT JOIN documents d ON d.tenant_id = t.id GROUP BY 1 ORDER BY 1"
    )
    return connection.execute(counted).fetchall()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("ALTER TABLE documents ALTER size TYPE text", r"documents\.size has the type text"),
        ("ALTER TABLE documents ALTER size TYPE money", r"documents\.size has the type money"),
        (
            "ALTER TABLE documents ALTER file_size DROP DEFAULT, ALTER file_size TYPE bytea USING NULL",
            r"file_size has the type bytea",
        ),
        (
            "CREATE TABLE tenant_usage (tenant_id integer, month date, documents_count integer CHECK (documents_count > 5))",
            "tenant_usage",
        ),
        (
            "CREATE TABLE tenant_usage (tenant_id integer, month date, documents_count integer);"
            + RAISING.format("RAISE EXCEPTION 'this table is read-only';", "tenant_usage"),
            "this table is read-only",
        ),
    ],
)
def test_what_would_fail_is_refused_before_anything_is_made(
    application_database: str, opened: Opener, look: Look, change: str, reason: str
) -> None:
    connection = opened(application_database)
    add_tenants(connection, "a")
    connection.execute(change.encode())
    everything = (
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL"
        " SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL"
        " SELECT tgname::text FROM pg_trigger ORDER BY 1"
    )
    before = connection.execute(everything).fetchall()
    with pytest.raises(DatabaseRefused, match=reason):
        schema.upgrade(connection, look(connection))
    assert connection.execute(everything).fetchall() == before


def test_the_trial_leaves_nothing(connection: psycopg.Connection, look: Look) -> None:
    connection.execute("DROP TRIGGER rehouse_usage_update ON documents")
    fold(connection)
    before = recorded(connection)
    assert "the triggers are tried on a temporary table" in schema.upgrade(connection, look(connection))
    assert recorded(connection) == before
    assert connection.execute("SELECT count(*) FROM rehouse_usage_faults").fetchone() == (0,)
