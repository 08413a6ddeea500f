"""The database: reachable without a pooler, new enough, writable, mapped, not blinded by row security, with our rights."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import psycopg
from psycopg import sql

from rehouse.config import Settings, name_setting
from rehouse.core.errors import RehouseError
from rehouse.ledger import catalog as catalogs
from rehouse.ledger.belonging import explain, find_differences
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.connection import connect_with, where
from rehouse.ledger.encoding import UNCHECKED, server_encoding
from rehouse.ledger.identity import find_ambiguities
from rehouse.operations.checks.check import Check, depending, failed, looked_at, notice, of_error, ok
from rehouse.operations.checks.column_widths import ROOM, check_room
from rehouse.operations.checks.usage import USAGE, check_usage

CONNECTION = "database: connection"
VERSION = "database: version"
ENCODING = "database: encoding"
WRITABLE = "database: writable"
MAPPING = "database: mapping"
ROW_SECURITY = "database: row security"
RIGHTS = "database: rights"
IDS = "database: ids"
SCHEMA = "database: rehouse's own tables"

OLDEST_SERVER = 130000
"""gen_random_uuid() is built in from PostgreSQL 13 on."""


def check_database(settings: Settings) -> Iterator[Check]:
    """Yield the checks of the database."""
    try:
        connection = connect_with(settings, application_name="rehouse doctor")
        place = where(settings.require_database_url())
    except RehouseError as error:
        yield of_error(CONNECTION, error)
        yield from depending(
            (VERSION, ENCODING, WRITABLE, MAPPING, ROW_SECURITY, RIGHTS, IDS, SCHEMA, ROOM),
            "no connection to the database",
        )
        return
    with connection:
        yield ok(CONNECTION, f"{place}, no connection pooler in between")
        yield looked_at(VERSION, lambda: _version(connection))
        yield looked_at(ENCODING, lambda: _encoding(connection))
        yield looked_at(WRITABLE, lambda: _writable(connection))
        yield from _mapped(connection, settings)


def _version(connection: psycopg.Connection) -> Check:
    number = connection.info.server_version
    told = f"PostgreSQL {number // 10000}.{number % 10000}"
    return (
        ok(VERSION, told) if number >= OLDEST_SERVER else failed(VERSION, told, "rehouse needs PostgreSQL 13 or newer")
    )


def _encoding(connection: psycopg.Connection) -> Check:
    encoding = server_encoding(connection)
    if encoding == "UTF8":
        return ok(ENCODING, encoding)
    if encoding == UNCHECKED:
        told = f"{encoding}: PostgreSQL does not check what texts hold; rehouse takes them as UTF-8"
        return notice(ENCODING, told, "a document whose key is not UTF-8 is not moved (invalid_key)")
    told = f"{encoding}: it cannot hold every key of S3"
    return notice(
        ENCODING, told, "objects whose keys it cannot hold are counted and left alone: no row can point to them"
    )


def _writable(connection: psycopg.Connection) -> Check:
    row = connection.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')").fetchone()
    in_recovery, read_only = row or (False, "off")
    if in_recovery or read_only == "on":
        what = "it is a standby server" if in_recovery else "transactions are read-only"
        return failed(WRITABLE, what, "connect to the primary server, as a role that may write")
    return ok(WRITABLE, "it is a primary server and takes writes")


def _mapped(connection: psycopg.Connection, settings: Settings) -> Iterator[Check]:
    try:
        found = catalogs.read(connection, settings.mapping, partial(name_setting, settings))
    except RehouseError as error:
        subject = ROW_SECURITY if "row security" in error.message else MAPPING
        yield of_error(subject, error)
        rest = [each for each in (MAPPING, ROW_SECURITY, RIGHTS, IDS, SCHEMA, ROOM) if each != subject]
        yield from depending(rest, "the application's tables could not be read")
        return
    tables = f"{found.tenants.name} and {found.documents.name}, tenant ids are {found.tenant_id_type}"
    yield ok(MAPPING, tables)
    yield looked_at(ROW_SECURITY, lambda: _row_security(connection, found))
    yield looked_at(RIGHTS, lambda: _rights(connection, found))
    yield looked_at(IDS, lambda: _ids(connection, found))
    yield looked_at(SCHEMA, lambda: _schema(found, settings))
    if found.version:
        yield looked_at(USAGE, lambda: check_usage(connection, found))
    yield looked_at(ROOM, lambda: check_room(connection, found, settings))


def _row_security(connection: psycopg.Connection, found: Catalog) -> Check:
    # Every connection has row_security off: a role that policies would blind gets an error here, not an empty answer.
    counts = []
    for table in (found.tenants, found.documents):
        query = sql.SQL("SELECT count(*) FROM (SELECT 1 FROM {} LIMIT 1) AS seen").format(table.identifier)
        row = connection.execute(query).fetchone()
        counts.append(f"{table.name} {'has rows' if row and row[0] else 'is empty'}")
    return ok(ROW_SECURITY, f"no policy hides rows from this role; {', '.join(counts)}")


def _rights(connection: psycopg.Connection, found: Catalog) -> Check:
    missing = [told for told, has in _needed(connection, found) if not has]
    if missing:
        role = connection.info.user
        return failed(
            RIGHTS,
            f"{role} lacks: {', '.join(missing)}",
            f"grant them, or connect as the owner of {found.documents.name}",
        )
    return ok(RIGHTS, "read and update the application's tables, make rehouse's own beside them")


def _needed(connection: psycopg.Connection, found: Catalog) -> Iterator[tuple[str, bool]]:
    for role, table, columns in (
        ("tenants", found.tenants, ("aws_bucket_name",)),
        ("documents", found.documents, ("s3_bucket", "s3_key", "etag", "file_size")),
    ):
        name = table.identifier.as_string(connection)
        yield f"SELECT on {table.name}", _has(connection, "has_table_privilege(%s, 'SELECT')", name)
        for column in (found.column(role, each) for each in columns):
            if column and column in table.columns:
                check = "has_column_privilege(%s, %s, 'UPDATE')"
                yield f"UPDATE of {table.name}.{column}", _has(connection, check, name, column)
    if found.version is None:
        name = found.documents.identifier.as_string(connection)
        may_create = _has(connection, "has_schema_privilege(%s, 'CREATE')", found.schema)
        yield f"CREATE in the schema {found.schema}", may_create
        owned = "(SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = %s::text::regclass)"
        yield f"ownership of {found.documents.name} (for ALTER TABLE)", _has(connection, owned, name)
    for own in found.own.values() if found.version else ():
        rights = "has_table_privilege(%s, 'SELECT') AND has_table_privilege(%s, 'INSERT')"
        name = own.identifier.as_string(connection)
        yield f"SELECT and INSERT on {own.name}", _has(connection, rights, name, name)


def _has(connection: psycopg.Connection, expression: str, *names: str) -> bool:
    row = connection.execute(sql.SQL("SELECT {}").format(sql.SQL(expression)), names).fetchone()
    return bool(row and row[0])


def _ids(connection: psycopg.Connection, found: Catalog) -> Check:
    ambiguities = find_ambiguities(connection, found)
    if ambiguities:
        message = "; ".join(each.message for each in ambiguities)
        return failed(IDS, message, "; ".join(each.hint for each in ambiguities))
    unique = "an id names one document" if found.ids_are_unique else "an id names one document of a tenant"
    return ok(IDS, f"{unique}; a unique index holds it")


def _schema(found: Catalog, settings: Settings) -> Check:
    differences = find_differences(found)
    if differences:
        return failed(SCHEMA, *explain(differences, settings))
    if found.version and found.version != catalogs.VERSIONS[-1]:
        told = f"there, version {found.version}; this rehouse works with {catalogs.VERSIONS[-1]}"
        return notice(SCHEMA, told, "`rehouse init` upgrades them, the next migrate does it too")
    if found.version:
        return ok(SCHEMA, f"there, version {found.version}")
    adopted = f"; {', '.join(sorted(found.own))} will be adopted" if found.own else ""
    return notice(SCHEMA, f"not there yet{adopted}", "`rehouse init` makes them, the first migrate does it too")


def count_tenants(settings: Settings) -> int | None:
    """Return how many tenants may want a bucket, None where the database does not tell."""
    try:
        with connect_with(settings, application_name="rehouse doctor") as connection:
            table = catalogs.read(connection, settings.mapping, partial(name_setting, settings)).tenants
            row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table.identifier)).fetchone()
    except (RehouseError, psycopg.Error):
        return None
    return int(row[0]) if row else None
