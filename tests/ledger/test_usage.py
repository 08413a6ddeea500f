"""The usage that the triggers keep is what a recount says, whoever writes, however many at once, whatever the month."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.rows import GUIDES_USAGE, add_document, add_tenants, recorded, recounted, shown

from rehouse.ledger import schema
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.usage import settle_usage

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]

_sizes = st.integers(0, 3_000_000_000)
_file_sizes = st.none() | st.just(0) | _sizes
_tenants = st.sampled_from(["1", "2", "3", "NULL"])
_ids = st.integers(0, 9)
_changes = st.one_of(
    st.tuples(
        st.just(
            "INSERT INTO documents (id, tenant_id, original_name, filename, size, file_size)"
            " SELECT g, (ARRAY[1, 2, 3, NULL])[1 + (g + {}) % 4], '', '', {}, {} FROM generate_series({}, {}) g"
            " ON CONFLICT (id) DO UPDATE SET size = excluded.size, tenant_id = excluded.tenant_id"
        ),
        st.integers(0, 3),
        _sizes,
        _file_sizes,
        _ids,
        _ids,
    ),
    st.tuples(st.just("UPDATE documents SET size = {}, file_size = {} WHERE id::int >= {}"), _sizes, _file_sizes, _ids),
    st.tuples(
        st.just("UPDATE documents SET tenant_id = {}, file_size = {} WHERE id::int % 3 = {}"),
        _tenants,
        _file_sizes,
        _ids,
    ),
    st.tuples(st.just("UPDATE documents SET status = 'x'")),
    st.tuples(st.just("DELETE FROM documents WHERE id::int BETWEEN {} AND {}"), _ids, _ids),
    st.tuples(st.just("TRUNCATE documents")),
    st.tuples(
        st.just("SET CONSTRAINTS ALL IMMEDIATE; UPDATE documents SET size = size + 1; SET CONSTRAINTS ALL DEFERRED")
    ),
    st.tuples(st.just("SAVEPOINT here; DELETE FROM documents WHERE id::int > {}; ROLLBACK TO here"), _ids),
)


def rendered(change: tuple[object, ...]) -> str:
    text, *values = change
    return str(text).format(*("NULL" if value is None else value for value in values))


def test_the_triggers_count_what_a_recount_counts(connection: psycopg.Connection) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(_changes, max_size=8))
    def check(changes: list[tuple[object, ...]]) -> None:
        with connection.transaction(force_rollback=True):
            for change in changes:
                connection.execute(rendered(change).encode())
            assert recorded(connection) == recorded(connection, month=1) == recounted(connection)
            megabytes = "SELECT 1 FROM tenant_usage WHERE storage_used_mb <> round(storage_used_bytes / 1048576.0)"
            assert connection.execute(megabytes).fetchone() is None

    check()


def test_merge_is_counted(connection: psycopg.Connection) -> None:
    if connection.info.server_version < 150000:
        pytest.skip("this server has no MERGE")
    for number in range(4):
        add_document(connection, str(number), 1 + number % 2, 10)
    connection.execute(
        "MERGE INTO documents d USING (VALUES ('0', 3), ('1', 2), ('2', NULL), ('new', 3)) v (id, tenant_id) ON d.id = v.id"
        " WHEN MATCHED AND v.tenant_id IS NULL THEN DELETE"
        " WHEN MATCHED THEN UPDATE SET tenant_id = v.tenant_id, size = 7"
        " WHEN NOT MATCHED THEN INSERT (id, tenant_id, original_name, filename, size) VALUES (v.id, v.tenant_id, '', '', 5)"
    )
    assert shown(connection) == recounted(connection) == [("a", 0, 0), ("b", 2, 17), ("c", 2, 12)]


def test_copy_is_counted(connection: psycopg.Connection) -> None:
    with connection.cursor().copy("COPY documents (id, tenant_id, original_name, filename, size) FROM STDIN") as copy:
        for number in range(100):
            copy.write_row((str(number), 1 + number % 3, "", "", 10))
    assert recorded(connection) == recounted(connection) == [("a", 34, 340), ("b", 33, 330), ("c", 33, 330)]


def test_the_guides_query_tells_the_truth(connection: psycopg.Connection) -> None:
    add_document(connection, "one", 1, 1, 3 * 1048576)
    add_document(connection, "two", 1, 1048576 + 1)
    assert sorted(connection.execute(GUIDES_USAGE).fetchall()) == [("A", 4, 2), ("B", 0, 0), ("C", 0, 0)]


def back(connection: psycopg.Connection, months: int) -> None:
    """As if the last change had been made `months` ago."""
    connection.execute("ALTER TABLE tenant_usage DISABLE TRIGGER ALL")
    connection.execute("UPDATE tenant_usage SET month = month - 200 * 365")
    connection.execute("UPDATE tenant_usage SET month = (month + 200 * 365 - %s * interval '1 month')::date", (months,))


@pytest.mark.parametrize("months", [1, 2, 5])
def test_a_new_month_begins_at_the_last_level(connection: psycopg.Connection, look: Look, months: int) -> None:
    add_document(connection, "one", 1, 100)
    add_document(connection, "two", 2, 50)
    back(connection, months)
    add_document(connection, "three", 1, 11)
    assert shown(connection)[0] == shown(connection, month=1)[0] == ("a", 2, 111)
    assert settle_usage(connection, look(connection)) == 2
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)
    assert settle_usage(connection, look(connection)) == 0
    past = "SELECT documents_count FROM tenant_usage WHERE tenant_id = 1 ORDER BY month LIMIT 1"
    assert connection.execute(past).fetchone() == (1,), "the past stays as it was"


def test_deltas_of_two_months_count_from_their_own_month_on(connection: psycopg.Connection) -> None:
    last_month = "date_trunc('month', now() AT TIME ZONE 'UTC' - interval '1 month')"
    add = f"INSERT INTO tenant_usage (tenant_id, month, documents_count, storage_used_bytes) VALUES (1, {last_month}, 0, 0)"
    connection.execute(add.encode())
    connection.execute("SET default_transaction_isolation = 'repeatable read'")
    add_document(connection, "one", 1, 5)
    add_document(connection, "two", 1, 7)
    connection.execute("SET default_transaction_isolation = 'read committed'")
    connection.execute(
        "UPDATE rehouse_usage_deltas SET at = at - interval '1 month' WHERE id = (SELECT min(id) FROM rehouse_usage_deltas)"
    )
    assert recorded(connection, month=-1)[0] == ("a", 1, 5)
    assert shown(connection)[0] == shown(connection, month=1)[0] == ("a", 2, 12)


def test_a_fold_takes_a_thousand_deltas_at_most(connection: psycopg.Connection) -> None:
    connection.execute("SET default_transaction_isolation = 'repeatable read'")
    pending = (
        "INSERT INTO rehouse_usage_deltas (tenant_id, documents, bytes) SELECT 1, 1, 2 FROM generate_series(1, 1500)"
    )
    connection.execute(pending.encode())
    connection.execute("SET default_transaction_isolation = 'read committed'")
    folds = [connection.execute("SELECT rehouse_fold_usage(1)").fetchone() for _ in range(3)]
    assert folds == [(1000,), (500,), (0,)]
    assert shown(connection)[0] == ("a", 1500, 3000)


def test_init_replaces_a_function_that_has_another_text(connection: psycopg.Connection, look: Look) -> None:
    connection.execute(
        "CREATE OR REPLACE FUNCTION rehouse_fold_usage(folded_tenant integer) RETURNS bigint LANGUAGE plpgsql"
        " AS $$ BEGIN RETURN 0; END $$"
    )
    add_document(connection, "one", 1, 5)
    assert shown(connection)[0] == ("a", 0, 0)
    assert schema.upgrade(connection, look(connection)) == ["the functions that keep tenant_usage"]
    add_document(connection, "two", 1, 5)
    assert shown(connection)[0] == ("a", 2, 10)


def test_rows_after_the_next_month_move_along(connection: psycopg.Connection) -> None:
    later = "INSERT INTO tenant_usage (tenant_id, month, documents_count, storage_used_bytes) VALUES (1, %s, 0, 0)"
    connection.execute(later, ("2999-01-01",))
    add_document(connection, "one", 1, 100)
    far = "SELECT documents_count, storage_used_bytes FROM tenant_usage WHERE month = '2999-01-01'"
    assert connection.execute(far).fetchone() == (1, 100)


def test_a_tenant_may_go_with_its_documents(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE tenant_usage ADD FOREIGN KEY (tenant_id) REFERENCES tenants ON DELETE CASCADE")
    add_document(connection, "one", 1, 100)
    connection.execute("DELETE FROM tenants WHERE id = 1")
    assert connection.execute("SELECT count(*) FROM tenant_usage WHERE tenant_id = 1").fetchone() == (0,)


def test_a_new_tenant_is_counted_from_its_first_document(connection: psycopg.Connection) -> None:
    (new,) = add_tenants(connection, "z")
    add_document(connection, "one", new, 9)
    assert recorded(connection)[-1] == ("z", 1, 9)


def test_writers_at_once_are_all_counted(
    connection: psycopg.Connection, application_database: str, opened: Opener
) -> None:
    def write(name: int) -> None:
        own = opened(application_database)
        for number in range(40):
            own.execute(
                "INSERT INTO documents (id, tenant_id, original_name, filename, size)"
                " SELECT %s || g, 1 + g %% 3, '', '', g FROM generate_series(%s::int, %s, %s) g",
                (f"{name}-{number}-", *((1, 6, 1) if name % 2 else (6, 1, -1))),
            )
            own.execute("DELETE FROM documents WHERE id LIKE %s AND size < 3", (f"{name}-{number}-%",))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(4)))
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)


def test_a_recount_beside_writers_loses_nothing(
    connection: psycopg.Connection, application_database: str, opened: Opener
) -> None:
    stop = threading.Event()

    def write(name: int) -> None:
        own, number = opened(application_database), 0
        while not stop.is_set():
            number += 1
            add_document(own, f"{name}-{number}", 1 + number % 3, number)

    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, name) for name in range(3)]
        try:
            for _ in range(15):
                connection.execute("CALL rehouse_recount_usage()")
        finally:
            stop.set()
        for writer in writers:
            writer.result(timeout=180)
    assert recorded(connection) == recounted(connection)


def test_a_recount_waits_for_nobody(connection: psycopg.Connection, application_database: str, opened: Opener) -> None:
    writer = opened(application_database)
    writer.execute("BEGIN")
    add_document(writer, "one", 1, 100)
    writer.execute("SET CONSTRAINTS ALL IMMEDIATE")
    connection.execute("SET statement_timeout = '60s'")
    connection.execute("CALL rehouse_recount_usage()")
    writer.execute("COMMIT")
    assert recorded(connection) == recounted(connection) == [("a", 1, 100), ("b", 0, 0), ("c", 0, 0)]


def test_a_count_that_was_wrong_is_put_right(connection: psycopg.Connection) -> None:
    add_document(connection, "one", 2, 5)
    connection.execute("UPDATE tenant_usage SET documents_count = 99, storage_used_bytes = 99")
    connection.execute("CALL rehouse_recount_usage()")
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)


def test_the_applications_role_needs_no_right_on_the_usage(
    connection: psycopg.Connection, postgres, opened: Opener, look: Look
) -> None:
    database = connection.info.dbname
    postgres.role(f"app_{database}")
    connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON documents TO app_{database}".encode())
    application = opened(postgres.url(database, f"app_{database}"))
    add_document(application, "one", 1, 5)
    application.execute("UPDATE documents SET size = 6")
    assert recorded(connection)[0] == ("a", 1, 6)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute("SELECT rehouse_fold_usage(1)")
    application.execute("CREATE TEMPORARY TABLE mine (LIKE documents)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        application.execute(
            "CREATE TRIGGER mine AFTER INSERT ON mine REFERENCING NEW TABLE AS changed EXECUTE FUNCTION rehouse_usage_of_rows()"
        )
    connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO app_{database}".encode())
    connection.execute("DELETE FROM tenant_usage")
    assert settle_usage(application, look(application)) == 0, "who may not write does not"
    application.execute("SET default_transaction_read_only = on")
    assert settle_usage(application, look(application)) == 0


def test_before_init_there_is_nothing_to_roll(application_database: str, opened: Opener, look: Look) -> None:
    made = opened(application_database)
    assert settle_usage(made, look(made)) == 0


def test_uuid_tenants_are_counted(application_database_uuid: str, opened: Opener, look: Look) -> None:
    made = opened(application_database_uuid)
    acme, globex = add_tenants(made, "acme", "globex")
    add_document(made, "before", acme, 4)
    schema.upgrade(made, look(made))
    add_document(made, "after", globex, 5)
    made.execute("UPDATE documents SET tenant_id = %s", (globex,))
    assert recorded(made) == recounted(made) == [("acme", 0, 0), ("globex", 2, 9)]
