"""The ledger's own tables, as data.

A missing table is created; an existing one gets the columns that it lacks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rehouse.core.errors import DatabaseRefused
from rehouse.core.uploads import GrantState
from rehouse.ledger.catalog import Catalog, is_same_type
from rehouse.ledger.facts import FACTS_TABLE
from rehouse.ledger.queries import fill, sources
from rehouse.ledger.relations import Table
from rehouse.ledger.schema.statement import Manner, Statement


@dataclass(frozen=True, slots=True)
class OwnTable:
    """One of our tables: columns, constraints and indexes, in SQL with the fields of queries.py."""

    name: str
    columns: dict[str, str]
    constraints: tuple[str, ...] = ()
    indexes: dict[str, str] = field(default_factory=dict)
    kind: str = "TABLE"
    storage: str | None = None


STATES = ("planned", "copied", "flipped", "superseded", "removing", "removed", "quarantined", "accepted")
STATUSES = ("pending", "in_progress", "completed", "failed", "rolled_back")
_KEY = 'text COLLATE "C"'


def one_of(column: str, values: tuple[str, ...]) -> str:
    """Return a CHECK constraint that the column holds one of these values."""
    return f"CHECK ({column} IN ({', '.join(repr(value) for value in values)}))"


MIGRATIONS = OwnTable(
    "s3_migrations",
    {
        "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
        "tenant_id": "{tenant_id_type} NOT NULL",
        "old_bucket": "varchar(255)",
        "new_bucket": "varchar(255)",
        "documents_migrated": "integer DEFAULT 0",
        "status": "varchar(50) DEFAULT 'pending'",
        "started_at": "timestamptz",
        "completed_at": "timestamptz",
        "error_message": "text",
        "created_at": "timestamptz DEFAULT now()",
        "run_id": "uuid",
        "phase": "text",
        "home_bucket": "text",
        "previous_home": "text",
        "documents_total": "bigint",
        "documents_skipped": "bigint",
        "documents_failed": "bigint",
        "bytes_total": "bigint",
        "bytes_copied": "bigint",
        "updated_at": "timestamptz",
        "versioning_enabled_at": "timestamptz",
        "documents_accepted": "bigint",
        "documents_waiting": "bigint",
        "documents_at_home": "bigint",
        "run_failed": "boolean",
    },
    (f"CONSTRAINT s3_migrations_status_check {one_of('status', STATUSES)}",),
)
DOCUMENTS = OwnTable(
    "s3_migration_documents",
    {
        "tenant_id": "{tenant_id_type} NOT NULL",
        "document_id": "{document_id_type} {document_id_collation} NOT NULL",
        "source_bucket": "text",
        "source_key": _KEY,
        "source_etag": "text",
        "source_version": "text",
        "source_size": "bigint",
        "storage_class": "text",
        "target_bucket": "text",
        "target_key": _KEY,
        "target_etag": "text",
        "target_version": "text",
        "target_checksum": "text",
        "state": "text NOT NULL",
        "attempts": "integer NOT NULL DEFAULT 0",
        "error_code": "text",
        "error_message": "text",
        "request_id": "text",
        "run_id": "uuid",
        "flipped_at": "timestamptz",
        "late_etag": "text",
        "updated_at": "timestamptz DEFAULT now()",
    },
    (
        "PRIMARY KEY (tenant_id, document_id)",
        f"CONSTRAINT s3_migration_documents_state_check {one_of('state', STATES)}",
    ),
    # States change once or twice per document. Updates that change no indexed column are cheap, so states are not indexed.
    indexes={"s3_migration_documents_by_source": "(source_key)"},
    storage="fillfactor = 80",
)
EVENTS = OwnTable(
    "s3_migration_events",
    {
        "id": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "tenant_id": "{tenant_id_type}",
        "run_id": "uuid",
        "at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
        "actor": "text NOT NULL DEFAULT current_user",
        "event": "text NOT NULL",
        "from_phase": "text",
        "to_phase": "text",
        "reason": "text",
    },
    indexes={"s3_migration_events_tenant": "(tenant_id, id)"},
)
INVENTORY = OwnTable(
    "s3_inventory",
    {
        "run_id": "uuid NOT NULL",
        "bucket": _KEY,
        "key": _KEY,
        "etag": "text",
        "size": "bigint",
        "storage_class": "text",
        "modified_at": "timestamptz",
        "contested": "boolean NOT NULL DEFAULT false",
    },
    ("PRIMARY KEY (run_id, bucket, key)",),
    kind="UNLOGGED TABLE",
)
PROGRESS = OwnTable(
    "s3_migration_progress",
    {
        "run_id": "uuid NOT NULL",
        "subject": "text NOT NULL",
        "lock_key": "bigint NOT NULL",
        "command": "text",
        "host": "text",
        "step": "text",
        "message": "text",
        "tenants_done": "bigint",
        "tenants": "bigint",
        "documents": "bigint",
        "documents_total": "bigint",
        "documents_failed": "bigint",
        "bytes_copied": "bigint",
        "begun_at": "timestamptz",
        "updated_at": "timestamptz NOT NULL",
    },
    ("PRIMARY KEY (run_id, subject)",),
    kind="UNLOGGED TABLE",
    # A row is updated once a second and no indexed column changes, so that its versions take turns on its page.
    storage="fillfactor = 50",
)
"""What commands publish while they run. It is not needed to read the ledger."""
GRANTS = OwnTable(
    "s3_upload_grants",
    {
        "grant_id": "uuid PRIMARY KEY",
        "tenant_id": "{tenant_id_type} {tenant_id_collation} NOT NULL",
        "document_id": "{document_id_type} {document_id_collation}",
        "bucket": "text NOT NULL",
        "temp_key": f"{_KEY} NOT NULL",
        "upload_id": "text",
        "name": "text NOT NULL",
        "size": "bigint NOT NULL",
        "content_type": "text NOT NULL",
        "checksum_algorithm": "text",
        "checksum": "text",
        "part_bytes": "bigint",
        "state": "text NOT NULL DEFAULT 'open'",
        "final_bucket": "text",
        "final_key": _KEY,
        "etag": "text",
        "version": "text",
        "result_checksum": "text",
        "created_at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
        "changed_at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
        "expires_at": "timestamptz NOT NULL",
    },
    (
        f"CONSTRAINT s3_upload_grants_state_check {one_of('state', tuple(each.value for each in GrantState))}",
        "CONSTRAINT s3_upload_grants_one_a_key UNIQUE (final_bucket, final_key)",
    ),
    indexes={
        "s3_upload_grants_by_tenant": "(tenant_id) WHERE state IN ('open', 'confirming')",
        "s3_upload_grants_by_expiry": "(expires_at)",
        "s3_upload_grants_by_key": "(tenant_id, final_key)",
    },
)
"""The uploads of `TenantStorage`, each from before its first request until it is confirmed or swept.

An upload without a document is a file's: a row that is written with its key confirms it (files.sql).
"""
DELETIONS = OwnTable(
    "s3_pending_deletions",
    {
        "id": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "tenant_id": "{tenant_id_type} {tenant_id_collation} NOT NULL",
        "document_id": "{document_id_type} {document_id_collation}",
        "bucket": "text NOT NULL",
        "key": f"{_KEY} NOT NULL",
        "etag": "text",
        "created_at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
    },
    indexes={"s3_pending_deletions_by_key": "(key)"},
)
"""The objects that `TenantStorage` no longer needs and that S3 has not deleted yet."""
OWN = (MIGRATIONS, DOCUMENTS, EVENTS, INVENTORY)
"""The tables that are needed to read the ledger."""
FACTS = OwnTable(
    FACTS_TABLE,
    {
        "name": "text PRIMARY KEY",
        "value": "jsonb NOT NULL",
        "updated_at": "timestamptz NOT NULL DEFAULT now()",
    },
)


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements that create or complete the tables.

    `older_tool` adopts an older s3_migrations.
    """
    for table in (*OWN, PROGRESS, GRANTS, DELETIONS, FACTS):
        existing = catalog.own.get(table.name)
        if existing is None:
            yield create(catalog, table)
        elif table is not MIGRATIONS:
            yield from complete(catalog, table, existing)
            yield from _optional_document(table, existing)
        yield from _indexes(catalog, table, existing)
    yield from _append_only(catalog)


def create(catalog: Catalog, table: OwnTable) -> Statement:
    """Return the statement that creates the table."""
    lines = ",\n  ".join([*(f"{name} {kind}" for name, kind in table.columns.items()), *table.constraints])
    storage = f" WITH ({table.storage})" if table.storage else ""
    text = f"CREATE {table.kind} IF NOT EXISTS {{schema}}.{table.name} (\n  {lines}\n){storage}"
    return Statement(f"the table {table.name}", render(text, catalog))


def complete(catalog: Catalog, table: OwnTable, existing: Table) -> Iterator[Statement]:
    """Yield the statement that adds the missing columns, if any."""
    lacking = {name: kind for name, kind in table.columns.items() if name not in existing.columns}
    if lacking:
        added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in lacking.items())
        text = render(f"ALTER TABLE {{schema}}.{table.name} {added}", catalog)
        yield Statement(
            f"{table.name} gains {', '.join(lacking)}", text, Manner.POLITE, existing.identifier.as_string(None)
        )


def _optional_document(table: OwnTable, existing: Table) -> Iterator[Statement]:
    """Yield the statement that lets an upload or a deletion be of no document: a file that has no row yet, or no longer."""
    if table in (GRANTS, DELETIONS) and existing.columns["document_id"].is_required:
        name = existing.identifier.as_string(None)
        text = f"ALTER TABLE {name} ALTER COLUMN document_id DROP NOT NULL"
        yield Statement(f"{table.name} takes files without a row", text, Manner.POLITE, name)


def refuse_unfit(catalog: Catalog, table: OwnTable, existing: Table) -> None:
    """Raise DatabaseRefused if an existing table cannot hold our rows: an id of another type, or an unknown required column."""
    held = existing.columns.get("tenant_id")
    if held is None or not is_same_type(held.type, catalog.tenant_id_type):
        raise DatabaseRefused(
            f"{existing.name}.tenant_id is {held.type if held else 'missing'}, the tenants' id is {catalog.tenant_id_type}",
            hint=f"ALTER TABLE {existing.name} RENAME TO {existing.name}_old: it belongs to something else",
            subject=f"{existing.name}.tenant_id",
        )
    for column in existing.columns.values():
        if column.is_required and not column.has_default and column.name not in table.columns:
            raise DatabaseRefused(
                f"{existing.name}.{column.name} must not be NULL and has no default, so it would refuse rows of rehouse",
                hint=f"ALTER TABLE {existing.name} ALTER {column.name} DROP NOT NULL, or give it a default",
                subject=f"{existing.name}.{column.name}",
            )


def render(text: str, catalog: Catalog) -> str:
    """Return SQL text with the fields of queries.py filled in."""
    return fill(text, catalog).as_string(None)


def _indexes(catalog: Catalog, table: OwnTable, existing: Table | None) -> Iterator[Statement]:
    present = {index.name for index in existing.indexes} if existing else set()
    for name, columns in table.indexes.items():
        if name not in present:
            text = f"CREATE INDEX IF NOT EXISTS {name} ON {{schema}}.{table.name} {columns}"
            yield Statement(f"the index {name}", render(text, catalog))


def _append_only(catalog: Catalog) -> Iterator[Statement]:
    existing = catalog.own.get(EVENTS.name)
    if existing is None or "rehouse_append_only" not in existing.triggers:
        yield Statement("the history is append only", render(sources()["append_only"], catalog))
