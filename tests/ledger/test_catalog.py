"""The catalog says what is there, refuses what does not fit with the setting that maps it, and fills named statements."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from rehouse.config.sections import DocumentsTable, TableMapping, TenantsTable
from rehouse.core.errors import DatabaseRefused
from rehouse.ledger import catalog, queries
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.queries import fill

Opener = Callable[[str], psycopg.Connection]
Look = Callable[[psycopg.Connection], Catalog]


def test_types_and_lengths_are_read(application_database_uuid: str, opened: Opener, look: Look) -> None:
    found = look(opened(application_database_uuid))
    assert (found.tenant_id_type, found.document_id_type, found.schema) == ("uuid", "character varying(255)", "public")
    assert (found.key_max_length, found.bucket_max_length, found.home_max_length) == (1000, 255, 255)
    assert found.missing_columns == {"s3_version_id", "s3_checksum", "s3_migrated_at"}
    assert found.own == {}
    assert found.version is None
    assert found.server_version >= 130000


def test_what_the_older_tool_left_is_seen(older_tool_database: str, opened: Opener, look: Look) -> None:
    found = look(opened(older_tool_database))
    assert found.own.keys() == {"s3_migrations", "tenant_usage"}
    assert found.documents.triggers == {"trigger_update_tenant_storage"}
    assert found.own["tenant_usage"].has_index("tenant_id", "month", unique=True)
    assert [check.columns for check in found.own["s3_migrations"].checks] == [("status",)]


def test_unlimited_lengths_are_none(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    connection.execute("ALTER TABLE documents ALTER s3_key TYPE text, DROP s3_bucket")
    found = look(connection)
    assert (found.key_max_length, found.bucket_max_length) == (None, 255)


@pytest.mark.parametrize(
    ("change", "mapping", "message", "nearest", "setting"),
    [
        ("ALTER TABLE documents RENAME TO files", {}, "table documents does not exist", "tenants", "DOCUMENTS_TABLE"),
        ("", {"tenants": TenantsTable(table="app.tenants")}, "app.tenants does not exist", "tenants", "TENANTS_TABLE"),
        ("ALTER TABLE documents RENAME s3_key TO s3_keys", {}, "has no column s3_key", "s3_keys", "DOCUMENTS_S3_KEY"),
        ("", {"tenants": TenantsTable(slug="slugg")}, "tenants has no column slugg", "slug", "TENANTS_SLUG"),
        ("", {"documents": DocumentsTable(tenant_id="client_id")}, "varying.*integer", "", "DOCUMENTS_TENANT_ID"),
        (
            "ALTER TABLE documents RENAME TO d; CREATE VIEW documents AS SELECT * FROM d",
            {},
            "ordinary",
            "",
            "DOCUMENTS_TABLE",
        ),
        ("DROP TABLE documents, tenants", {}, "tenants does not exist", "there is none", "TENANTS_TABLE"),
        (
            "ALTER TABLE tenants RENAME max_documents TO document_limit",
            {"tenants": TenantsTable(max_documents="max_documents")},
            "has no column max_documents",
            'or to "" if there is none',
            "TENANTS_MAX_DOCUMENTS",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    application_database: str,
    opened: Opener,
    change: str,
    mapping: dict[str, object],
    message: str,
    nearest: str,
    setting: str,
) -> None:
    connection = opened(application_database)
    connection.execute(change.encode() or b"SELECT 1")
    with pytest.raises(DatabaseRefused, match=message) as refused:
        catalog.read(connection, TableMapping.model_validate(mapping))
    assert nearest in refused.value.hint
    assert f"REHOUSE_MAPPING_{setting}" in refused.value.hint


def test_limits_are_off_where_there_are_no_columns(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    names = ("max_storage_gb", "max_documents")
    assert [look(connection).column("tenants", name) for name in names] == [*names]
    connection.execute("ALTER TABLE tenants DROP max_storage_gb, DROP max_documents")
    found = look(connection)
    assert [found.column("tenants", name) for name in names] == ["", ""]
    assert fill("{tenants.rows}", found).as_string(None) == '"public"."tenants"', "the others are read as before"
    text = "SELECT 1\n, t.{tenants.max_documents} -- if tenants.max_documents\nFROM {tenants} t"
    assert fill(text, found).as_string(None) == 'SELECT 1\nFROM "public"."tenants" t'


def test_a_table_outside_the_search_path_is_found(application_database: str, opened: Opener) -> None:
    connection = opened(application_database)
    connection.execute("CREATE SCHEMA app; ALTER TABLE documents SET SCHEMA app")
    found = catalog.read(connection, TableMapping(documents=DocumentsTable(table="app.documents")))
    assert (found.schema, found.tenants.schema) == ("app", "public")


def test_fields_are_filled_and_quoted(application_database: str, opened: Opener) -> None:
    connection = opened(application_database)
    connection.execute('ALTER TABLE documents RENAME s3_key TO "a""b"')
    found = catalog.read(connection, TableMapping(documents=DocumentsTable(s3_key='a"b')))
    text = "SELECT d.{documents.s3_key} FROM {documents} d JOIN {tenants} t ON %(x)s::{document_id_type} = t.{tenants.slug}"
    assert fill(text, found).as_string(None) == (
        'SELECT d."a""b" FROM "public"."documents" d JOIN "public"."tenants" t'
        ' ON %(x)s::character varying(255) = t."slug"'
    )
    for field in ("documents.nothing", "documents.table", "nothing", "tenants.s3_key"):
        with pytest.raises((KeyError, AttributeError)):
            fill("{" + field + "}", found)


def test_rows_can_be_read_before_init(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    connection.execute("ALTER TABLE documents DROP etag, DROP uploaded_at")
    text = (
        "SELECT d.{documents.etag}, d.s3_checksum, d.{documents.uploaded_at}, d.{documents.id} FROM {documents.rows} d"
    )
    connection.execute("INSERT INTO documents (id, original_name, filename, size) VALUES ('x', '', '', 1)")
    assert connection.execute(fill(text, look(connection))).fetchall() == [(None, None, None, "x")]


def test_every_statement_can_be_filled(application_database: str, opened: Opener, look: Look) -> None:
    connection = opened(application_database)
    loaded = queries.load(look(connection))
    assert len(loaded) == len(queries.sources()) > 30
    for name in loaded:
        assert loaded[name].as_string(connection).startswith("-- ") or name, "each has a sentence over it"
    assert all(text.startswith("--") for text in queries.sources().values())
