"""What the application's tables really look like, read once and frozen. Every installation differs a little: nothing is assumed.

A table or column of the mapping that does not exist is refused here, with the nearest one that does and the setting that
maps it. Columns that rehouse itself adds may be missing; `Catalog.missing_columns` names them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql

from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.facts import FACTS_TABLE, MAPPING, read_fact
from rehouse.ledger.faults import blinded, translated
from rehouse.ledger.relations import Table, find_table, visible_tables
from rehouse.sections import DocumentsTable, TableMapping, TenantsTable

VERSION_TABLE = "rehouse_schema_version"
OWN_TABLES = (
    "s3_migrations",
    "s3_migration_documents",
    "s3_migration_events",
    "s3_inventory",
    "tenant_usage",
    FACTS_TABLE,
)
ADDED_COLUMNS = {
    "s3_bucket": "varchar(255)",
    "etag": "varchar(255)",
    "file_size": "bigint",
    "s3_version_id": "text",
    "s3_checksum": "text",
    "s3_migrated_at": "timestamptz",
}
"""Columns of documents that `init` adds where they are missing; the last three are never mapped."""
OPTIONAL_COLUMNS = frozenset({*ADDED_COLUMNS, "uploaded_at"})
OLDEST_SERVER = 130000
"""gen_random_uuid() is built in from PostgreSQL 13 on."""
_WHOLE_NUMBERS = frozenset({"smallint", "integer", "bigint"})


@dataclass(frozen=True)
class Catalog:
    """The database as it was found: the two mapped tables, ours as far as they exist, and which version they have."""

    mapping: TableMapping
    server_version: int
    tenants: Table
    documents: Table
    own: dict[str, Table]
    version: str | None
    procedures: frozenset[str]
    recorded_mapping: dict[str, Any] | None

    @property
    def schema(self) -> str:
        """The schema of the documents table, where ours are too."""
        return self.documents.schema

    @property
    def tenant_id_type(self) -> str:
        """The SQL type of tenants.id, such as `integer` or `uuid`."""
        return self.tenants.columns[self.mapping.tenants.id].type

    @property
    def document_id_type(self) -> str:
        """The SQL type of documents.id, such as `character varying(255)`."""
        return self.documents.columns[self.mapping.documents.id].type

    @property
    def key_max_length(self) -> int | None:
        """How many characters documents.s3_key holds; None where there is no limit."""
        return self.documents.columns[self.mapping.documents.s3_key].max_length

    @property
    def bucket_max_length(self) -> int | None:
        """How many characters documents.s3_bucket holds; None where there is no limit."""
        column = self.documents.columns.get(self.mapping.documents.s3_bucket)
        return column.max_length if column else 255

    @property
    def home_max_length(self) -> int | None:
        """How many characters tenants.aws_bucket_name holds; None where there is no limit."""
        return self.tenants.columns[self.mapping.tenants.aws_bucket_name].max_length

    @cached_property
    def missing_columns(self) -> frozenset[str]:
        """The optional columns (by their names in the mapping) that documents lacks."""
        return frozenset(
            name for name in OPTIONAL_COLUMNS if self.column("documents", name) not in self.documents.columns
        )

    @property
    def ids_are_unique(self) -> bool:
        """Tell whether a document's id alone names one row; else (tenant, id) does."""
        return self.documents.has_index(self.column("documents", "id"), unique=True)

    def column(self, table: str, name: str) -> str:
        """Return the real name of a mapped column: `column("documents", "s3_key")`; names of our own stay as they are."""
        mapped: TenantsTable | DocumentsTable = getattr(self.mapping, table)
        return str(getattr(mapped, name, name))


def read(connection: psycopg.Connection, mapping: TableMapping) -> Catalog:
    """Read the catalog. Raises DatabaseRefused where the mapping and the database disagree, or row security hides rows."""
    try:
        tenants = _mapped(connection, "tenants", mapping.tenants)
        documents = _mapped(connection, "documents", mapping.documents)
        own = {
            name: found for name in OWN_TABLES if (found := find_table(connection, documents.schema, name)) is not None
        }
        catalog = Catalog(
            mapping=mapping,
            server_version=connection.info.server_version,
            tenants=tenants,
            documents=documents,
            own=own,
            version=_version(connection, documents.schema),
            procedures=_procedures(connection, documents.schema),
            recorded_mapping=read_fact(connection, documents.schema, MAPPING) if FACTS_TABLE in own else None,
        )
    except psycopg.Error as error:
        raise translated(error) from error
    _refuse_misfits(catalog)
    return catalog


def _mapped(connection: psycopg.Connection, role: str, mapped: TenantsTable | DocumentsTable) -> Table:
    schema, dot, name = mapped.table.rpartition(".")
    table = find_table(connection, schema if dot else None, name)
    setting = f"REHOUSE_MAPPING_{role.upper()}"
    if table is None:
        near = _nearest(mapped.table, visible_tables(connection))
        raise DatabaseRefused(
            f"the table {mapped.table} does not exist in the database {connection.info.dbname}",
            hint=f"{near}set {setting}_TABLE to the application's table of {role}",
        )
    if table.kind != "r":
        raise DatabaseRefused(
            f"{mapped.table} is no ordinary table",
            hint=f"set {setting}_TABLE to the table itself (no view, no partitions)",
        )
    for field in type(mapped).model_fields:
        wanted = getattr(mapped, field)
        if "%" in f"{table.schema}{wanted}":
            raise DatabaseRefused(
                f"the name {table.schema}.{wanted} has a per cent sign, which begins a parameter in what is sent to the database",
                hint=f"rename it in the database and in {setting}_{field.upper()}",
            )
        if field == "table" or wanted in table.columns or (role == "documents" and field in OPTIONAL_COLUMNS):
            continue
        near = _nearest(wanted, table.columns)
        raise DatabaseRefused(
            f"the table {mapped.table} has no column {wanted}",
            hint=f"{near}set {setting}_{field.upper()} to the column's name",
        )
    return table


def _nearest(wanted: str, existing: Iterable[str]) -> str:
    names = sorted(existing)
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
    if close:
        return f"the nearest: {', '.join(close)}; "
    return f"there are: {', '.join(names[:12])}; " if names else "there is none; "


def _version(connection: psycopg.Connection, schema: str) -> str | None:
    if find_table(connection, schema, VERSION_TABLE) is None:
        return None
    query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(schema, VERSION_TABLE))
    row = connection.execute(query).fetchone()
    return None if row is None else str(row[0])


def _procedures(connection: psycopg.Connection, schema: str) -> frozenset[str]:
    """Each function of ours as `name:md5 of its source`."""
    rows = connection.execute(
        r"SELECT proname || ':' || md5(prosrc) FROM pg_proc WHERE pronamespace = %s::text::regnamespace"
        r" AND proname LIKE 'rehouse\_%%'",
        (sql.Identifier(schema).as_string(connection),),
    )
    return frozenset(str(name) for (name,) in rows)


def is_same_type(one: str, other: str) -> bool:
    """Tell whether ids of the two SQL types can be compared; whole numbers of any width can.

    >>> is_same_type("bigint", "integer"), is_same_type("uuid", "text")
    (True, False)
    """
    return one == other or {one, other} <= _WHOLE_NUMBERS


def _refuse_misfits(catalog: Catalog) -> None:
    if catalog.server_version < OLDEST_SERVER:
        raise DatabaseRefused(
            f"the server is PostgreSQL {catalog.server_version // 10000}", hint="rehouse needs PostgreSQL 13 or later"
        )
    for table in (catalog.tenants, catalog.documents):
        if table.is_blinded:
            raise blinded(f"policies of the table {table.name} apply to it")
    ours = catalog.documents.columns[catalog.mapping.documents.tenant_id].type
    theirs = catalog.tenant_id_type
    if not is_same_type(ours, theirs):
        raise DatabaseRefused(
            f"{catalog.documents.name}.{catalog.mapping.documents.tenant_id} is {ours}, the tenants' id is {theirs}",
            hint="map the column that holds the tenant's id: REHOUSE_MAPPING_DOCUMENTS_TENANT_ID",
        )
