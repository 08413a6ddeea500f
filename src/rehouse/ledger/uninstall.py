"""Remove the ledger: find what depends on it, what to drop and what to keep, and drop it in one transaction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg
from psycopg import errors, sql

from rehouse.core.addressing import addresses
from rehouse.core.errors import DatabaseRefused, Refused
from rehouse.core.escaping import count_noun
from rehouse.ledger import facts
from rehouse.ledger.catalog import VERSION_TABLE, Catalog
from rehouse.ledger.queries import Queries, load
from rehouse.ledger.rows import rows_of, value_of
from rehouse.ledger.schema.documents import BY_POINTER, BY_TENANT, FORMER
from rehouse.ledger.schema.statement import LockTimes, run_with_retries
from rehouse.ledger.schema.uploads import BUCKET_FUNCTION, FUNCTION
from rehouse.ledger.schema.usage import FUNCTIONS, TRIGGERS, USAGE

_ROUTINES = (
    *FUNCTIONS,
    "rehouse_append_only",
    FUNCTION,
    BUCKET_FUNCTION,
    "rehouse_documents_arrived",
    "rehouse_documents_departed",
    "rehouse_document_changed",
    "rehouse_documents_truncated",
    "rehouse_shift_usage",
    "rehouse_open_month",
    "rehouse_roll_months",
)
_MIGRATIONS = "s3_migrations"
_UPLOADS = frozenset({"s3_upload_grants", "s3_pending_deletions"})


class Dependant(NamedTuple):
    """A tenant that still needs the ledger: its address, its phase, and how many of its documents were moved."""

    tenant: str
    phase: str
    moved: int


@dataclass(frozen=True)
class Removal:
    """The names of what to drop, and `kept`: name → why it stays."""

    triggers: tuple[str, ...]
    tables: tuple[str, ...]
    indexes: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = ()
    kept: dict[str, str] = field(default_factory=dict)


def dependants(connection: psycopg.Connection, catalog: Catalog) -> list[Dependant]:
    """Return the tenants whose migration or rollback still needs the ledger."""
    if not catalog.own.keys() >= {_MIGRATIONS, "s3_migration_documents"}:
        return []
    queries = load(catalog)
    called = addresses({str(row.tenant_id): row.slug for row in rows_of(connection, queries["tenants"])})
    found = rows_of(connection, queries["dependants"])
    return [Dependant(str(called.get(row.tenant_id, row.tenant_id)), row.phase, row.moved) for row in found]


def refuse_unswept(connection: psycopg.Connection, catalog: Catalog) -> None:
    """Raise Refused while the ledger is the only record of objects that uploads of the application's storage have left."""
    if not catalog.own.keys() >= _UPLOADS:
        return
    [left] = rows_of(connection, load(catalog)["unswept_uploads"])
    if left.uploads or left.objects:
        raise Refused(
            f"the ledger is the only record of {count_noun(left.uploads, 'upload')} not confirmed or swept, and of "
            f"{count_noun(left.objects, 'object')} still to be deleted",
            hint="wait until the uploads have expired and were swept (`TenantStorage.sweep`); nothing was changed",
            subject="database",
        )


def known_tenants(connection: psycopg.Connection, catalog: Catalog) -> list[object]:
    """Return the ids of all tenants in the ledger."""
    if _MIGRATIONS not in catalog.own:
        return []
    return [row.tenant_id for row in rows_of(connection, load(catalog)["migrated_tenants"])]


def find_removal(
    connection: psycopg.Connection, catalog: Catalog, *, columns: bool, usage: bool, default_bucket: str
) -> Removal:
    """Return what a removal would drop.

    `columns`: drop the columns that `init` added as well. `usage`: drop tenant_usage as well.
    """
    kept: dict[str, str] = {}
    tables = set(catalog.own) | ({VERSION_TABLE} if catalog.version else set())
    adopted = set(_fact(connection, catalog, facts.ADOPTED_TABLES))
    if not usage and USAGE.name in tables:
        kept[USAGE.name] = "the application may read it; it is no longer kept up to date (--usage removes it)"
    kept |= dict.fromkeys(sorted(adopted & tables), "it was there before rehouse")
    indexes = {index.name for index in catalog.documents.indexes}
    going = tuple(_columns_to_drop(connection, catalog, kept, default_bucket)) if columns else ()
    return Removal(
        triggers=tuple(sorted(name for name in catalog.documents.triggers if name.startswith("rehouse_"))),
        tables=tuple(sorted(tables - kept.keys())),
        indexes=tuple(sorted(indexes & {BY_TENANT, BY_POINTER, FORMER})),
        columns=going,
        kept=kept,
    )


def remove(connection: psycopg.Connection, catalog: Catalog, removal: Removal, patience: LockTimes) -> list[Dependant]:
    """Drop everything in one transaction.

    If tenants still need the ledger, drop nothing and return them. Raises TryAgain if a table is never free, DatabaseRefused if
    other objects in the database depend on the ledger, Refused if uploads left objects that only the ledger knows.
    """
    found: list[Dependant] = []

    def work() -> None:
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(catalog.documents.identifier))
        found[:] = dependants(connection, catalog)
        if not found:
            refuse_unswept(connection, catalog)
            _remove(connection, catalog, removal)

    table = catalog.documents.identifier.as_string(connection)
    try:
        run_with_retries(connection, work, "the removal of the ledger", patience, table=table)
    except errors.DependentObjectsStillExist as error:
        raise DatabaseRefused(
            f"something else in the database depends on the ledger: {error.diag.message_detail}",
            hint="drop it first, then run the same command again; nothing was changed",
        ) from error
    return found


def _columns_to_drop(
    connection: psycopg.Connection, catalog: Catalog, kept: dict[str, str], default_bucket: str
) -> list[tuple[str, str]]:
    queries, going = load(catalog), []
    for role, column in _fact(connection, catalog, facts.ADDED_COLUMNS):
        table = catalog.documents if role == "documents" else catalog.tenants
        question = {
            ("documents", catalog.column("documents", "s3_bucket")): "rows_that_need_the_bucket",
            ("tenants", catalog.column("tenants", "aws_bucket_name")): "tenants_that_need_the_home",
        }.get((role, column))
        if column not in table.columns:
            continue
        needed = _count(connection, queries, question, default_bucket) if question else 0
        if needed:
            kept[f"{table.name}.{column}"] = f"the only record of the bucket of {count_noun(needed, 'row')}"
        else:
            going.append((role, column))
    return going


def _count(connection: psycopg.Connection, queries: Queries, question: str, default_bucket: str) -> int:
    return int(value_of(connection, queries[question], {"default_bucket": default_bucket}) or 0)


def _fact(connection: psycopg.Connection, catalog: Catalog, name: str) -> list:  # type: ignore[type-arg]
    if facts.FACTS_TABLE not in catalog.own:
        return []
    return facts.read_fact(connection, catalog.schema, name) or []


def _remove(connection: psycopg.Connection, catalog: Catalog, removal: Removal) -> None:
    queries = load(catalog)
    _fold(connection, catalog, queries)
    connection.execute(queries["own_triggers_dropped"])
    for part in catalog.documents.partitions:
        for trigger in sorted(part.triggers & TRIGGERS):
            drop = sql.SQL("DROP TRIGGER IF EXISTS {} ON {}")
            connection.execute(drop.format(sql.Identifier(trigger), part.identifier))
    for name in removal.tables:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(catalog.schema, name)))
    for row in rows_of(connection, queries["own_routines"], {"names": list(_ROUTINES)}):
        connection.execute(sql.SQL("DROP ROUTINE IF EXISTS {}").format(sql.SQL(row.routine)))
    for name in removal.indexes:
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(catalog.schema, name)))
    for role, column in removal.columns:
        table = catalog.documents if role == "documents" else catalog.tenants
        drop = sql.SQL("ALTER TABLE {} DROP COLUMN IF EXISTS {}")
        connection.execute(drop.format(table.identifier, sql.Identifier(column)))


def _fold(connection: psycopg.Connection, catalog: Catalog, queries: Queries) -> None:
    """Add the pending deltas to tenant_usage a last time, unless it cannot take them."""
    if not catalog.own.keys() >= {"rehouse_usage_deltas", USAGE.name}:
        return
    try:
        with connection.transaction():
            while value_of(connection, queries["fold_all"]):
                pass
    except errors.OperationalError:
        raise
    except psycopg.Error:
        return
