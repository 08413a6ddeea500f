"""A partitioned table of documents is counted whichever table a statement names, and where an update moves a row."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from tests.support.rows import add_document, add_tenants, recorded, recounted, shown

from rehouse.ledger import schema
from rehouse.ledger.catalog import Catalog

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]


@pytest.fixture
def connection(application_database: str, opened: Opener, look: Look) -> psycopg.Connection:
    made = opened(application_database)
    made.execute("""
        ALTER TABLE documents RENAME TO unpartitioned;
        CREATE TABLE documents (LIKE unpartitioned INCLUDING DEFAULTS, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id);
        DROP TABLE unpartitioned;
        CREATE TABLE documents_1 PARTITION OF documents FOR VALUES IN (1);
        CREATE TABLE documents_others PARTITION OF documents DEFAULT PARTITION BY RANGE (id);
        CREATE TABLE documents_low PARTITION OF documents_others FOR VALUES FROM (MINVALUE) TO ('m');
        CREATE TABLE documents_high PARTITION OF documents_others FOR VALUES FROM ('m') TO (MAXVALUE);
    """)
    add_tenants(made, "a", "b", "c")
    schema.upgrade(made, look(made))
    assert schema.upgrade(made, look(made)) == []
    return made


def is_counted(connection: psycopg.Connection) -> bool:
    return recorded(connection) == recorded(connection, month=1) == recounted(connection)


def test_statements_on_the_parent_and_on_partitions(connection: psycopg.Connection) -> None:
    for key, tenant in (("a", 1), ("b", 2), ("z", 3)):
        add_document(connection, key, tenant, 10)
    for table, tenant in (("documents_1", 1), ("documents_others", 2), ("documents_low", 3)):
        connection.execute(
            f"INSERT INTO {table} (id, tenant_id, original_name, filename, size) VALUES ('direct', {tenant}, '', '', 5)".encode()
        )
    assert shown(connection) == recounted(connection) == [("a", 2, 15), ("b", 2, 15), ("c", 2, 15)]
    connection.execute("UPDATE documents SET tenant_id = 1, size = 7 WHERE tenant_id = 2 AND id = 'b'")
    connection.execute("UPDATE documents_low SET size = 6")
    connection.execute("UPDATE documents SET status = 'x'")
    connection.execute("DELETE FROM documents_high")
    connection.execute("DELETE FROM documents WHERE id = 'a'")
    assert is_counted(connection)
    connection.execute("TRUNCATE documents")
    assert is_counted(connection)


def test_init_puts_right_what_a_partition_changed_itself(connection: psycopg.Connection, look: Look) -> None:
    for key, tenant in (("a", 1), ("b", 2), ("z", 3)):
        add_document(connection, key, tenant, 10)
    for change in (
        "TRUNCATE documents_low",
        "ALTER TABLE documents DETACH PARTITION documents_1;"
        " CREATE TABLE documents_first PARTITION OF documents FOR VALUES IN (1)",
    ):
        connection.execute(change.encode())
        assert "tenant_usage is counted" in schema.upgrade(connection, look(connection))
        assert is_counted(connection)
    connection.execute(
        "INSERT INTO documents_first (id, tenant_id, original_name, filename, size) VALUES ('x', 1, '', '', 3)"
    )
    assert is_counted(connection)
    assert schema.upgrade(connection, look(connection)) == []
