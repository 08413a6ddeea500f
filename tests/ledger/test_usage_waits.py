"""Usage makes nobody wait and nothing deadlock: whoever would have to wait fails here, by a lock_timeout."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from tests.support.rows import add_document, add_tenants, recorded, recounted, shown

from rehouse.ledger import schema
from rehouse.ledger.catalog import Catalog

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]
LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def session(application_database: str, opened: Opener) -> Callable[[], psycopg.Connection]:
    """Return a function that opens a session of the application, which may wait for no lock."""

    def make() -> psycopg.Connection:
        made = opened(application_database)
        made.execute("SET lock_timeout = '1s'")
        made.execute("SET deadlock_timeout = '10ms'")
        return made

    return make


@pytest.mark.parametrize("level", LEVELS)
def test_two_transactions_in_opposite_order(
    connection: psycopg.Connection, session: Callable[[], psycopg.Connection], level: str
) -> None:
    one, two = session(), session()
    for each in (one, two):
        each.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
    add_document(one, "1a", 1, 1)
    add_document(two, "2b", 2, 1)
    add_document(one, "1b", 2, 1)
    add_document(two, "2a", 1, 1)
    one.execute("UPDATE documents SET size = 5 WHERE id = '1a'")
    two.execute("DELETE FROM documents WHERE id = '2b'")
    one.execute("COMMIT")
    two.execute("COMMIT")
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)


@pytest.mark.parametrize("level", LEVELS)
def test_an_import_that_stays_open_stops_nobody(
    connection: psycopg.Connection, session: Callable[[], psycopg.Connection], level: str
) -> None:
    importing, other = session(), session()
    importing.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
    for number in range(20):
        add_document(importing, f"import {number}", 1 + number % 3, 7)
    importing.execute("SET CONSTRAINTS ALL IMMEDIATE")
    add_document(importing, "import last", 1, 7)
    for number in range(20):
        add_document(other, f"other {number}", 1 + number % 3, 3)
    assert sum(documents for _, documents, _ in shown(connection)) == 20  # type: ignore[misc]
    importing.execute("COMMIT")
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)


def test_the_applications_own_lock_on_the_usage_stops_nobody(
    connection: psycopg.Connection, session: Callable[[], psycopg.Connection]
) -> None:
    counting, other = session(), session()
    for lock in (
        "UPDATE tenant_usage SET api_calls_count = api_calls_count + 1",
        "LOCK TABLE tenant_usage IN ACCESS EXCLUSIVE MODE",
        "SELECT 1 FROM tenants FOR UPDATE",
    ):
        counting.execute("BEGIN")
        counting.execute(lock.encode())
        if "tenants" in lock:
            counting.execute("DELETE FROM tenant_usage")
        add_document(other, lock, None if "tenants" in lock else 1, 1)
        counting.execute("ROLLBACK" if "tenants" in lock else "COMMIT")
    assert connection.execute("SELECT count(*) FROM rehouse_usage_faults").fetchone() == (0,)
    add_document(other, "last", 1, 1)
    assert recorded(connection) == recounted(connection)


def test_a_month_that_somebody_else_is_opening_stops_nobody(
    connection: psycopg.Connection, session: Callable[[], psycopg.Connection]
) -> None:
    connection.execute("DELETE FROM tenant_usage")
    opening, other = session(), session()
    opening.execute("BEGIN")
    opening.execute("SELECT rehouse_fold_usage(1)")
    add_document(other, "one", 1, 1)
    opening.execute("COMMIT")
    add_document(other, "two", 1, 1)
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)


def test_a_lone_session_sees_its_own_writes_in_the_usage(connection: psycopg.Connection) -> None:
    for number in range(20):
        add_document(connection, str(number), 1 + number % 2, 10)
        assert shown(connection) == recounted(connection)
    connection.execute("DELETE FROM documents WHERE tenant_id = 2")
    assert shown(connection) == shown(connection, month=1) == recounted(connection)


def test_a_fold_does_not_read_what_was_folded_before(connection: psycopg.Connection) -> None:
    """Dead rows that vacuum has not collected must not make every further commit dearer."""
    if connection.info.server_version < 150000:
        pytest.skip("this server does not publish its statistics on request")
    connection.execute("ALTER TABLE rehouse_usage_deltas SET (autovacuum_enabled = off)")

    def blocks_read_by(first: int, count: int) -> int:
        query = (
            "SELECT heap_blks_hit + heap_blks_read FROM pg_statio_user_tables WHERE relname = 'rehouse_usage_deltas'"
        )
        (before,) = connection.execute(query).fetchone()  # type: ignore[misc]
        for number in range(first, first + count):
            connection.execute("SELECT set_config('rehouse.fold_credit', '0', false)")
            add_document(connection, str(number), 1, 1)
        connection.execute("SELECT pg_stat_force_next_flush()")
        (after,) = connection.execute(query).fetchone()  # type: ignore[misc]
        assert shown(connection) == recounted(connection)
        return after - before

    few = blocks_read_by(0, 50)
    blocks_read_by(50, 2000)
    assert blocks_read_by(2050, 50) <= 2 * few


def test_what_was_left_is_folded_by_the_next_write(
    connection: psycopg.Connection, session: Callable[[], psycopg.Connection]
) -> None:
    strict = session()
    for level in LEVELS[1:]:
        strict.execute(f"SET default_transaction_isolation = '{level.lower()}'".encode())
        add_document(strict, level, 1, 5)
    assert shown(connection)[0] == ("a", 0, 0)
    add_document(connection, "next", 1, 5)
    assert shown(connection) == recounted(connection)


def test_statements_share_the_transactions_subtransaction(connection: psycopg.Connection) -> None:
    if connection.info.server_version < 160000:
        pytest.skip("this server does not count subtransactions")
    with connection.transaction():
        for number in range(200):
            add_document(connection, str(number), 1 + number % 3, 1)
        counted = connection.execute(
            "SELECT s.subxact_count, s.subxact_overflowed FROM pg_stat_get_backend_idset() b,"
            " pg_stat_get_backend_subxact(b) s WHERE pg_stat_get_backend_pid(b) = pg_backend_pid()"
        ).fetchone()
    assert counted == (1, False)
    assert shown(connection) == recounted(connection)


def test_deltas_of_tenants_that_are_gone_do_not_stay(connection: psycopg.Connection) -> None:
    connection.execute("ALTER TABLE documents DROP CONSTRAINT documents_tenant_id_fkey")
    add_document(connection, "nobody's", 4711, 1)
    connection.execute("CALL rehouse_settle_usage()")
    assert connection.execute("SELECT count(*) FROM rehouse_usage_deltas").fetchone() == (0,)


def test_a_truncate_at_a_strict_level_is_put_right_by_init(connection: psycopg.Connection, look: Look) -> None:
    add_document(connection, "one", 1, 5)
    connection.execute("BEGIN ISOLATION LEVEL SERIALIZABLE; TRUNCATE documents; COMMIT")
    assert "tenant_usage is counted" in schema.upgrade(connection, look(connection))
    assert shown(connection) == recounted(connection) == [("a", 0, 0), ("b", 0, 0), ("c", 0, 0)]


def test_sixteen_writers_at_every_level_are_counted(
    connection: psycopg.Connection, session: Callable[[], psycopg.Connection], application_database: str
) -> None:
    add_tenants(connection, "d", "e")

    def write(name: int) -> int:
        own, chance = session(), random.Random(name)
        for number in range(15):
            level = LEVELS[(name + number) % 3]
            own.execute(f"BEGIN ISOLATION LEVEL {level}".encode())
            for statement in range(4):
                key = f"{name}-{number}-{statement}"
                add_document(own, key, chance.randint(1, 5), chance.randint(0, 9))
                if (
                    level == "SERIALIZABLE"
                ):  # a transaction that reads may fail of itself; one that only inserts may not
                    continue
                own.execute("SAVEPOINT here")
                own.execute("UPDATE documents SET tenant_id = %s, size = 3 WHERE id = %s", (chance.randint(1, 5), key))
                own.execute("ROLLBACK TO here" if chance.random() < 0.3 else "RELEASE here")
                if chance.random() < 0.3:
                    own.execute("DELETE FROM documents WHERE id = %s", (key,))
            own.execute("ROLLBACK" if chance.random() < 0.2 else "COMMIT")
        return name

    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(write, range(16)))) == 16
    assert connection.execute("SELECT count(*) FROM rehouse_usage_faults").fetchone() == (0,)
    assert recorded(connection) == recorded(connection, month=1) == recounted(connection)
