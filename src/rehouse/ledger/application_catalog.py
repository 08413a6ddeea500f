"""Read the application's tables as the application's own role sees them, for its storage.

This role may be under row security, and it may not read the ledger's facts about itself. So only PostgreSQL's catalog is read here,
which every role may read.
"""

from __future__ import annotations

import psycopg

from rehouse.config.sections import TableMapping
from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.catalog import OWN_TABLES, Catalog
from rehouse.ledger.encoding import server_encoding
from rehouse.ledger.faults import translate_error
from rehouse.ledger.mapping import NameSetting, find_mapped
from rehouse.ledger.relations import find_tables


def read_for_application(connection: psycopg.Connection, mapping: TableMapping, name: NameSetting) -> Catalog:
    """Return the catalog without the ledger's version and facts.

    Raises DatabaseRefused if the mapping does not fit the database, or if `rehouse init` has not made the tables of the storage.
    """
    try:
        tenants, documents = find_mapped(connection, mapping, name)
        own = find_tables(connection, documents.schema, OWN_TABLES)
        encoding = server_encoding(connection)
    except psycopg.Error as error:
        raise translate_error(error) from error
    missing = [table for table in STORAGE_TABLES if table not in own]
    if missing:
        raise DatabaseRefused(
            f"the schema {documents.schema} has no table {' and no table '.join(missing)}",
            hint="`rehouse init` creates them; it does not touch your documents",
        )
    return Catalog(
        mapping=mapping,
        server_version=connection.info.server_version,
        tenants=tenants,
        documents=documents,
        own=own,
        version=None,
        procedures=frozenset(),
        recorded_mapping=None,
        usage_is_doubtful=False,
        encoding=encoding,
    )


STORAGE_TABLES = ("s3_upload_grants", "s3_pending_deletions")
