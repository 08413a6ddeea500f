"""What is there is adopted: an older tool's tables and rows, indexes that serve, names of any kind; what cannot be is refused."""

from __future__ import annotations

import json
from collections.abc import Callable

import psycopg
import pytest
from tests.support.rows import GUIDES_OVERVIEW, GUIDES_USAGE, add_document, add_tenants, recorded, recounted

from rehouse.config.sections import TableMapping
from rehouse.core.errors import DatabaseRefused
from rehouse.ledger import catalog, schema
from rehouse.ledger.catalog import Catalog

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]


def test_the_older_tools_rows_become_history(older_tool_database: str, opened: Opener, look: Look) -> None:
    connection = opened(older_tool_database)
    acme, globex, _ = add_tenants(connection, "acme", "globex", "empty")
    insert = (
        "INSERT INTO s3_migrations (tenant_id, new_bucket, status, documents_migrated, completed_at, created_at)"
        " VALUES (%s, %s, %s, %s, now(), %s)"
    )
    connection.execute(insert, (acme, "older", "failed", 3, "2025-01-01"))
    connection.execute(insert, (acme, "newer", "completed", 15, "2025-02-01"))
    connection.execute(insert, (globex, "only", "in_progress", 1, "2025-03-01"))
    schema.upgrade(connection, look(connection))
    kept = connection.execute(
        "SELECT tenant_id, new_bucket, status, documents_migrated, completed_at, phase FROM s3_migrations ORDER BY 1"
    ).fetchall()
    assert kept == [(acme, "newer", "pending", 0, None, None), (globex, "only", "pending", 0, None, None)]
    events = connection.execute("SELECT tenant_id, event, reason FROM s3_migration_events ORDER BY id").fetchall()
    assert [(tenant, event) for tenant, event, _ in events] == [
        (acme, "adopted"),
        (acme, "adopted"),
        (globex, "adopted"),
    ]
    told = [json.loads(str(reason)) for _, _, reason in events]
    assert [(row["new_bucket"], row["status"], row["documents_migrated"]) for row in told] == [
        ("older", "failed", 3),
        ("newer", "completed", 15),
        ("only", "in_progress", 1),
    ]
    assert connection.execute(GUIDES_OVERVIEW).fetchall() == [
        ("Acme", "pending", 0, None),
        ("Empty", None, None, None),
        ("Globex", "pending", 0, None),
    ]
    connection.execute("UPDATE s3_migrations SET status = 'rolled_back'")
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO s3_migrations (tenant_id) VALUES (%s)", (acme,))


def test_usage_of_the_older_tool_is_put_right(older_tool_database: str, opened: Opener, look: Look) -> None:
    connection = opened(older_tool_database)
    (acme,) = add_tenants(connection, "acme")
    add_document(connection, "one", acme, 5_000_000)
    connection.execute("UPDATE tenant_usage SET documents_count = 77, storage_used_mb = 1, api_calls_count = 120")
    insert = (
        "INSERT INTO tenant_usage (tenant_id, month, documents_count, storage_used_mb) VALUES (%s, '2024-01-01', 4, 9)"
    )
    connection.execute(insert, (acme,))
    schema.upgrade(connection, look(connection))
    assert connection.execute(GUIDES_USAGE).fetchall() == [("Acme", 5, 1)]
    assert connection.execute("SELECT max(api_calls_count) FROM tenant_usage").fetchone() == (120,), "kept"
    old = "SELECT documents_count, storage_used_mb, storage_used_bytes FROM tenant_usage WHERE month = '2024-01-01'"
    assert connection.execute(old).fetchone() == (4, 9, None), "history is not rewritten"
    assert "trigger_update_tenant_storage" not in look(connection).documents.triggers


def test_a_usage_table_without_constraints_is_adopted(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    connection.execute("CREATE TABLE tenant_usage (id uuid, tenant_id integer, month date, documents_count integer)")
    (acme,) = add_tenants(connection, "acme")
    for count in (1, 2):
        connection.execute("INSERT INTO tenant_usage VALUES (gen_random_uuid(), %s, '2024-01-01', %s)", (acme, count))
    schema.upgrade(connection, look(connection))
    assert connection.execute("SELECT count(*) FROM tenant_usage WHERE month = '2024-01-01'").fetchone() == (1,)
    assert connection.execute("SELECT count(*) FROM s3_migration_events WHERE event = 'adopted'").fetchone() == (2,)


def test_a_table_that_would_refuse_our_rows_is_refused_first(
    application_database: str, opened: Opener, look: Look
) -> None:
    connection = opened(application_database)
    connection.execute("CREATE TABLE tenant_usage (tenant_id integer, month date, plan text NOT NULL)")
    with pytest.raises(DatabaseRefused, match=r"tenant_usage\.plan"):
        schema.upgrade(connection, look(connection))
    assert not look(connection).documents.triggers


def test_a_table_of_something_else_is_refused(application_database_uuid: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database_uuid)
    connection.execute("CREATE TABLE s3_migrations (tenant_id integer, status text)")
    with pytest.raises(DatabaseRefused, match=r"s3_migrations\.tenant_id is integer, the tenants' id is uuid"):
        schema.upgrade(connection, look(connection))


def test_an_equivalent_index_is_enough(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    connection.execute("CREATE INDEX theirs ON documents (tenant_id, id, status)")
    connection.execute("CREATE INDEX partial ON documents (s3_bucket, s3_key) WHERE s3_bucket IS NOT NULL")
    schema.upgrade(connection, look(connection))
    names = {index.name for index in look(connection).documents.indexes}
    assert "rehouse_documents_by_tenant" not in names
    assert "rehouse_documents_by_pointer" in names


def test_an_invalid_index_is_made_again(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    for key in ("one", "two"):
        connection.execute(
            "INSERT INTO documents (id, original_name, filename, size, s3_bucket, s3_key) VALUES (%s, '', '', 1, 'b', 'k')",
            (key,),
        )
    with pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY rehouse_documents_by_pointer ON documents (s3_bucket, s3_key)"
        )
    assert not look(connection).documents.has_index("s3_bucket", "s3_key")
    changes = schema.upgrade(connection, look(connection))
    assert "the invalid index rehouse_documents_by_pointer is dropped" in changes
    (made,) = [index for index in look(connection).documents.indexes if index.name == "rehouse_documents_by_pointer"]
    assert made.is_valid
    assert not made.is_unique


def test_what_somebody_dropped_comes_back(older_tool_database: str, opened: Opener, look: Look) -> None:
    connection = opened(older_tool_database)
    trigger = connection.execute(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'trigger_update%'"
    ).fetchone()
    assert trigger
    schema.upgrade(connection, look(connection))
    connection.execute("DROP INDEX rehouse_documents_by_pointer")
    connection.execute(str(trigger[0]).encode())
    (acme,) = add_tenants(connection, "acme")
    add_document(connection, "one", acme, 7)
    assert schema.is_current(look(connection)), "the ledger itself can be read"
    assert "documents are counted as they change" in schema.ddl(look(connection))
    changes = schema.upgrade(connection, look(connection))
    assert "the index rehouse_documents_by_pointer" in changes
    assert recorded(connection) == recounted(connection) == [("acme", 1, 7)]
    assert schema.upgrade(connection, look(connection)) == []


def test_names_are_quoted(empty_database: str, opened: Opener) -> None:
    connection = opened(empty_database)
    connection.execute("""
        CREATE SCHEMA "My ""App"; CREATE TABLE "My ""App"."Kunden; DROP" ("Id" bigserial PRIMARY KEY, "kürzel" text, name text,
          "Eimer" text, aktiv boolean);
        CREATE TABLE "My ""App"."select" ("user" text COLLATE "C" PRIMARY KEY, "order" bigint, "table" text, "from" text,
          grösse int);
        INSERT INTO "My ""App"."Kunden; DROP" ("kürzel", name) VALUES ('acme', 'Acme');
    """)
    mapping = TableMapping.model_validate(
        {
            "tenants": {
                "table": 'My "App.Kunden; DROP',
                "id": "Id",
                "slug": "kürzel",
                "aws_bucket_name": "Eimer",
                "is_active": "aktiv",
            },
            "documents": {
                "table": 'My "App.select',
                "id": "user",
                "tenant_id": "order",
                "original_name": "table",
                "s3_key": "from",
                "size": "grösse",
            },
        }
    )
    schema.upgrade(connection, catalog.read(connection, mapping))
    found = catalog.read(connection, mapping)
    assert schema.is_current(found)
    assert schema.upgrade(connection, found) == []
    assert found.missing_columns == {"uploaded_at"}
    connection.execute(
        """INSERT INTO "My ""App"."select" ("user", "order", "from", "grösse") VALUES ('d', 1, 'k', 5)"""
    )
    counted = connection.execute('SELECT documents_count, storage_used_bytes FROM "My ""App".tenant_usage').fetchall()
    assert counted == [(1, 5), (1, 5)]
