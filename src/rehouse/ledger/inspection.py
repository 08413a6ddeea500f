"""Read-only questions of `rehouse doctor` to the database, with plain values as answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import psycopg
from psycopg import sql

from rehouse.config import Settings, name_setting
from rehouse.ledger import catalog as catalogs
from rehouse.ledger.catalog import ADDED_COLUMNS, Catalog
from rehouse.ledger.connection import address_of, connect_with
from rehouse.ledger.encoding import server_encoding
from rehouse.ledger.identity import Ambiguity, find_ambiguities
from rehouse.ledger.queries import fill
from rehouse.ledger.relations import Table
from rehouse.ledger.rows import rows_of, value_of
from rehouse.ledger.usage import UsageState, usage_state

_READ_AND_ADD = ("SELECT", "INSERT")
_READ_AND_CHANGE = ("SELECT", "INSERT", "UPDATE")
OWN_RIGHTS = {
    "s3_migrations": _READ_AND_CHANGE,
    "s3_migration_documents": _READ_AND_CHANGE,
    "s3_inventory": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "s3_migration_progress": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "s3_upload_grants": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "s3_pending_deletions": ("SELECT", "INSERT", "UPDATE", "DELETE"),
}
"""The rights that the statements in `sql/` need on the ledger's tables; the others are read and added to."""

_BESIDE_MIGRATIONS = frozenset({"s3_migration_progress", "s3_upload_grants", "s3_pending_deletions"})
"""Tables without which migrations work: nobody can watch them, and `cleanup` sweeps no uploads of the application's storage."""


class Writability(NamedTuple):
    """Whether the server is a standby and whether transactions are read-only."""

    is_standby: bool
    is_read_only: bool


class Right(NamedTuple):
    """A right that rehouse needs, and whether this role has it.

    `name` is for people. `is_needed` is False for a right without which a migration works. `privilege` and `on` are the words of
    GRANT; ownership cannot be granted.
    """

    name: str
    is_granted: bool
    privilege: str | None
    on: str
    is_needed: bool = True


@dataclass(frozen=True, slots=True)
class Inspection:
    """A database to inspect. Every method may raise PostgreSQL's errors."""

    place: str
    connection: psycopg.Connection

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """Connect. Raises DatabaseRefused or TryAgain if that fails."""
        with connect_with(settings, application_name="rehouse doctor") as connection:
            yield cls(address_of(settings.require_database_url()), connection)

    @property
    def role(self) -> str:
        """The role of the connection."""
        return self.connection.info.user

    @property
    def version(self) -> int:
        """The server's version as a number, such as 160004."""
        return self.connection.info.server_version

    @property
    def encoding(self) -> str:
        """PostgreSQL's name of the database's encoding."""
        return server_encoding(self.connection)

    def writability(self) -> Writability:
        """Return what prevents the role from writing."""
        query = (
            "SELECT pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') = 'on' AS is_read_only"
        )
        [found] = rows_of(self.connection, sql.SQL(query))
        return Writability(found.is_standby, found.is_read_only)

    def catalog(self, settings: Settings) -> Catalog:
        """Return the application's tables.

        Raises DatabaseRefused if the mapping does not fit them.
        """
        return catalogs.read(self.connection, settings.mapping, partial(name_setting, settings))

    def has_rows(self, table: Table) -> bool:
        """Return whether the table has a row.

        PostgreSQL raises an error if row security would hide rows.
        """
        query = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT 1) AS seen").format(table.identifier)
        return bool(value_of(self.connection, query))

    def count_tenants(self, catalog: Catalog) -> int:
        """Return how many tenants there are."""
        query = sql.SQL("SELECT count(*) FROM {}").format(catalog.tenants.identifier)
        return int(value_of(self.connection, query))

    def labels(self, catalog: Catalog) -> list[str]:
        """Return each tenant's text for its bucket name: the slug, else the id."""
        query = (
            "SELECT coalesce(nullif(t.{tenants.slug}::text, ''), t.{tenants.id}::text) AS label FROM {tenants.rows} t"
        )
        return [str(row.label) for row in rows_of(self.connection, fill(query, catalog))]

    def ambiguities(self, catalog: Catalog) -> list[Ambiguity]:
        """Return why rows of the application's tables cannot be identified; empty if they can."""
        return find_ambiguities(self.connection, catalog)

    def usage(self, catalog: Catalog) -> UsageState | None:
        """Return what is pending and what failed in counting usage; None before `init`."""
        return usage_state(self.connection, catalog)

    def rights(self, catalog: Catalog) -> Iterator[Right]:
        """Yield the rights on the database that rehouse needs."""
        for role, table, columns in (
            ("tenants", catalog.tenants, ("aws_bucket_name",)),
            ("documents", catalog.documents, ("s3_bucket", "s3_key", *ADDED_COLUMNS)),
        ):
            name = table.identifier.as_string(self.connection)
            yield Right(f"SELECT on {table.name}", self._has("has_table_privilege(%s, 'SELECT')", name), "SELECT", name)
            for column in (catalog.column(role, each) for each in columns):
                if column and column in table.columns:
                    is_granted = self._has("has_column_privilege(%s, %s, 'UPDATE')", name, column)
                    quoted = sql.Identifier(column).as_string(self.connection)
                    yield Right(f"UPDATE of {table.name}.{column}", is_granted, f"UPDATE ({quoted})", name)
        temporary = "has_database_privilege(current_database(), 'TEMPORARY')"
        database = f"DATABASE {sql.Identifier(self.connection.info.dbname).as_string(self.connection)}"
        yield Right(
            "TEMPORARY in the database (for tables of this session)", self._has(temporary), "TEMPORARY", database
        )
        yield from self._rights_to_init(catalog) if catalog.version is None else self._rights_on_own(catalog)

    def _rights_to_init(self, catalog: Catalog) -> Iterator[Right]:
        name = catalog.documents.identifier.as_string(self.connection)
        may_create = self._has("has_schema_privilege(%s, 'CREATE')", catalog.schema)
        schema = f"SCHEMA {sql.Identifier(catalog.schema).as_string(self.connection)}"
        yield Right(f"CREATE in the schema {catalog.schema}", may_create, "CREATE", schema)
        owned = "(SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::text::regclass)"
        yield Right(f"ownership of {catalog.documents.name} (for ALTER TABLE)", self._has(owned, name), None, name)

    def _rights_on_own(self, catalog: Catalog) -> Iterator[Right]:
        for own in catalog.own.values():
            name, rights = own.identifier.as_string(self.connection), OWN_RIGHTS.get(own.name, _READ_AND_ADD)
            held = [right for right in rights if self._has("has_table_privilege(%s, %s)", name, right)]
            is_needed = own.name not in _BESIDE_MIGRATIONS
            listed = ", ".join(rights)
            yield Right(f"{listed} on {own.name}", len(held) == len(rights), listed, name, is_needed)

    def grants(self, rights: Iterable[Right]) -> list[str]:
        """Return the statements that give these rights to this role, one for each table, schema or database."""
        wanted: dict[str, list[str]] = {}
        for right in rights:
            if right.privilege:
                wanted.setdefault(right.on, []).append(right.privilege)
        role = value_of(self.connection, sql.SQL("SELECT quote_ident(current_user)"))
        return [f"GRANT {', '.join(privileges)} ON {on} TO {role};" for on, privileges in wanted.items()]

    def _has(self, expression: str, *names: str) -> bool:
        return bool(value_of(self.connection, sql.SQL("SELECT {}").format(sql.SQL(expression)), names))
