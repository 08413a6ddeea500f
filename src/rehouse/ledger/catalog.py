"""The structure of the application's tables, read once from the database and frozen.

A mapped table or column that does not exist is refused here. The error names the nearest one that exists and the setting that
maps it. Columns that rehouse itself adds may be missing; `Catalog.missing_columns` names them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from rehouse.config.sections import DocumentsTable, TableMapping, TenantsTable
from rehouse.core.errors import DatabaseRefused
from rehouse.core.mapping import ROLES, parse
from rehouse.core.naming import MAX_KEY_BYTES
from rehouse.ledger.encoding import server_encoding
from rehouse.ledger.facts import FACTS_TABLE, MAPPING, read_fact
from rehouse.ledger.faults import row_security_error, translate_error
from rehouse.ledger.mapping import NameSetting, find_mapped, usual_name
from rehouse.ledger.relations import Table, find_tables

VERSION_TABLE = "rehouse_schema_version"
VERSIONS = ("0001", "0002")
"""The versions of the ledger that this version of rehouse knows, the newest last."""
OWN_TABLES = (
    "s3_migrations",
    "s3_migration_documents",
    "s3_migration_events",
    "s3_inventory",
    "s3_migration_progress",
    "s3_upload_grants",
    "s3_pending_deletions",
    "tenant_usage",
    FACTS_TABLE,
    "rehouse_usage_deltas",
    "rehouse_usage_faults",
)
ADDED_COLUMNS = {
    **{name: role.created_as for name, role in ROLES["documents"].items() if role.created_as},
    "s3_version_id": "text",
    "s3_checksum": "text",
    "s3_migrated_at": "timestamptz",
}
"""Columns of documents that `init` adds if they are missing; the last three are never mapped."""
OPTIONAL_COLUMNS = frozenset({*ADDED_COLUMNS, "uploaded_at"})
OLDEST_SERVER = 130000
"""PostgreSQL 13 is the first with a built-in gen_random_uuid()."""
_WHOLE_NUMBERS = frozenset({"smallint", "integer", "bigint"})


@dataclass(frozen=True)
class Catalog:
    """The database as found: the two mapped tables, those of our tables that exist, and their version."""

    mapping: TableMapping
    server_version: int
    tenants: Table
    documents: Table
    own: dict[str, Table]
    version: str | None
    procedures: frozenset[str]
    recorded_mapping: dict[str, Any] | None
    usage_is_doubtful: bool
    encoding: str = "UTF8"

    @property
    def schema(self) -> str:
        """The schema of the documents table, which also holds our tables."""
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
        """The most characters that documents.s3_key holds; None if unlimited."""
        return self.documents.columns[self.mapping.documents.s3_key].max_length

    @property
    def longest_key(self) -> int:
        """The most characters of a key that fits both S3 and documents.s3_key."""
        return min(MAX_KEY_BYTES, self.key_max_length or MAX_KEY_BYTES)

    @property
    def bucket_max_length(self) -> int | None:
        """The most characters that documents.s3_bucket holds; None if unlimited."""
        column = self.documents.columns.get(self.column("documents", "s3_bucket"))
        return column.max_length if column else 255

    @property
    def home_max_length(self) -> int | None:
        """The most characters that tenants.aws_bucket_name holds; None if unlimited."""
        column = self.tenants.columns.get(self.column("tenants", "aws_bucket_name"))
        return column.max_length if column else 255

    @cached_property
    def missing_columns(self) -> frozenset[str]:
        """The mapped optional columns (by role) that documents lacks."""
        names = {name: self.column("documents", name) for name in OPTIONAL_COLUMNS}
        return frozenset(name for name, column in names.items() if column and column not in self.documents.columns)

    @property
    def ids_are_unique(self) -> bool:
        """Whether a document's id alone identifies a row; else (tenant, id) does."""
        return self.documents.has_index(self.column("documents", "id"), unique=True)

    @property
    def row_lock(self) -> str:
        """The lock mode for rows to be flipped: NO KEY UPDATE if no unique column changes, else UPDATE.

        Inserts that reference the rows by a foreign key do not wait for NO KEY UPDATE.
        """
        written = {self.column("documents", name) for name in ("s3_bucket", "s3_key", *ADDED_COLUMNS)}
        is_key = any(index.is_unique and written & {*index.columns} for index in self.documents.indexes)
        return "UPDATE" if is_key else "NO KEY UPDATE"

    def column(self, table: str, name: str) -> str:
        """Return the real name of a mapped column, such as `column("documents", "s3_key")`.

        Empty if it is not mapped, or if it is one that tenants may lack. Names of our own columns are returned unchanged.
        """
        mapped: TenantsTable | DocumentsTable = getattr(self.mapping, table)
        column = parse(name, str(getattr(mapped, name, name))).name
        role = ROLES[table].get(name)
        if role and role.is_off_without_column and column not in getattr(self, table).columns:
            return ""
        return column

    @property
    def is_activity_inverted(self) -> bool:
        """Whether the column for `is_active` marks inactive tenants."""
        return parse("is_active", self.mapping.tenants.is_active).is_inverted

    @property
    def is_home_missing(self) -> bool:
        """Whether tenants lacks the column for their buckets, which `init` adds."""
        return self.column("tenants", "aws_bucket_name") not in self.tenants.columns


def read(
    connection: psycopg.Connection,
    mapping: TableMapping,
    name: NameSetting = usual_name,
    *,
    as_application: bool = False,
) -> Catalog:
    """Read the catalog; `name` returns the name of a setting for messages.

    `as_application`: the role is the application's own, from which row security may hide other tenants' rows, and which may not
    read all of our tables. What it may not read is None.

    Raises DatabaseRefused if the mapping does not fit the database (with every problem), or if row security hides rows from any
    other role.
    """
    try:
        with _as_found(connection) if as_application else nullcontext():
            catalog = _read(connection, mapping, name, as_application=as_application)
    except psycopg.Error as error:
        raise translate_error(error) from error
    _refuse_misfits(catalog, may_be_blinded=as_application)
    return catalog


def _read(connection: psycopg.Connection, mapping: TableMapping, name: NameSetting, *, as_application: bool) -> Catalog:
    tenants, documents = find_mapped(connection, mapping, name)
    own = find_tables(connection, documents.schema, (*OWN_TABLES, VERSION_TABLE))
    versions, facts = own.pop(VERSION_TABLE, None), own.get(FACTS_TABLE)
    may_read: Callable[[Table | None], bool] = partial(_may_read, connection) if as_application else bool
    return Catalog(
        mapping=mapping,
        server_version=connection.info.server_version,
        tenants=tenants,
        documents=documents,
        own=own,
        version=_version(connection, versions) if may_read(versions) else None,
        procedures=_procedures(connection, documents.schema),
        recorded_mapping=read_fact(connection, documents.schema, MAPPING) if may_read(facts) else None,
        usage_is_doubtful=_is_usage_doubtful(connection, documents, own),
        encoding=server_encoding(connection),
    )


@contextmanager
def _as_found(connection: psycopg.Connection) -> Iterator[None]:
    """Read tuples, and leave the application's connection as it was: its row factory, and no transaction that it did not begin."""
    before: Any = connection.row_factory
    connection.row_factory = tuple_row
    try:
        with connection.transaction():
            yield
    finally:
        connection.row_factory = before


def _may_read(connection: psycopg.Connection, table: Table | None) -> bool:
    if table is None:
        return False
    query = "SELECT has_table_privilege(%s, 'SELECT')"
    row = connection.execute(query, (table.identifier.as_string(connection),)).fetchone()
    return bool(row and row[0])


def _version(connection: psycopg.Connection, table: Table | None) -> str | None:
    if table is None:
        return None
    row = connection.execute(sql.SQL("SELECT version_num FROM {}").format(table.identifier)).fetchone()
    if row is None:
        return None
    version = str(row[0])
    if version not in VERSIONS:
        raise DatabaseRefused(
            f"the ledger in the schema {table.schema} has version {version}, this rehouse knows {VERSIONS[0]} to {VERSIONS[-1]}",
            hint="a newer rehouse made it: use that version or a later one",
        )
    return version


def _procedures(connection: psycopg.Connection, schema: str) -> frozenset[str]:
    """Return each of our functions as `name:md5 of its source`."""
    rows = connection.execute(
        r"SELECT proname || ':' || md5(prosrc) FROM pg_proc WHERE pronamespace = %s::text::regnamespace"
        r" AND proname LIKE 'rehouse\_%%'",
        (sql.Identifier(schema).as_string(connection),),
    )
    return frozenset(str(name) for (name,) in rows)


def _is_usage_doubtful(connection: psycopg.Connection, documents: Table, own: dict[str, Table]) -> bool:
    """Return whether a change may not be counted: the triggers recorded a fault, or their tables were missing."""
    if "rehouse_usage_faults" not in own or "rehouse_usage_deltas" not in own:
        return "rehouse_usage_insert" in documents.triggers
    faults = own["rehouse_usage_faults"].identifier
    query = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE step = 'count')").format(faults)
    row = connection.execute(query).fetchone() if _may_read(connection, own["rehouse_usage_faults"]) else None
    return bool(row and row[0])


def is_same_type(one: str, other: str) -> bool:
    """Return whether ids of the two SQL types can be compared.

    Integers can, and texts of any length.

    >>> is_same_type("bigint", "integer"), is_same_type("character varying(36)", "text"), is_same_type("uuid", "text")
    (True, True, False)
    """
    families = {re.sub(r"^character varying(\(\d+\))?$", "text", each) for each in (one, other)}
    return len(families) == 1 or families <= _WHOLE_NUMBERS


def _refuse_misfits(catalog: Catalog, *, may_be_blinded: bool) -> None:
    if catalog.server_version < OLDEST_SERVER:
        raise DatabaseRefused(
            f"the server is PostgreSQL {catalog.server_version // 10000}", hint="rehouse needs PostgreSQL 13 or later"
        )
    for table in (catalog.tenants, catalog.documents):
        if table.is_blinded and not may_be_blinded:
            raise row_security_error(f"policies of the table {table.name} apply to it")
    ours = catalog.documents.columns[catalog.mapping.documents.tenant_id].type
    theirs = catalog.tenant_id_type
    if not is_same_type(ours, theirs):
        raise DatabaseRefused(
            f"{catalog.documents.name}.{catalog.mapping.documents.tenant_id} is {ours}, the tenants' id is {theirs}",
            hint="map the column that holds the tenant's id: REHOUSE_MAPPING_DOCUMENTS_TENANT_ID",
            subject=f"{catalog.documents.name}.{catalog.mapping.documents.tenant_id}",
        )
