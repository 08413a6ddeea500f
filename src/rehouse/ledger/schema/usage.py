"""tenant_usage: created or adopted, counted once, and kept up to date by triggers on documents that append deltas.

The order makes it safe. The triggers are tried on a temporary table before they are created on documents. The rows of this month
exist before the triggers do. The count comes after the triggers, so that no change is missed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from rehouse.ledger.catalog import VERSIONS, Catalog
from rehouse.ledger.queries import sources
from rehouse.ledger.relations import Partition, Table
from rehouse.ledger.schema.statement import Manner, Statement
from rehouse.ledger.schema.tables import OwnTable, complete, create, refuse_unfit, render

USAGE = OwnTable(
    "tenant_usage",
    {
        "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
        "tenant_id": "{tenant_id_type} {tenant_id_collation} NOT NULL",
        "month": "date NOT NULL",
        "documents_count": "integer DEFAULT 0",
        "storage_used_mb": "integer DEFAULT 0",
        "storage_used_bytes": "bigint",
        "api_calls_count": "integer DEFAULT 0",
        "active_users_count": "integer DEFAULT 0",
        "created_at": "timestamptz DEFAULT now()",
        "updated_at": "timestamptz DEFAULT now()",
    },
    storage="fillfactor = 70",
)
DELTAS = OwnTable(
    "rehouse_usage_deltas",
    {
        "tenant_id": "{documents_tenant_type} {tenant_id_collation} NOT NULL",
        "id": "bigint GENERATED ALWAYS AS IDENTITY",
        "documents": "bigint NOT NULL",
        "bytes": "numeric NOT NULL",
        "at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
    },
    ("PRIMARY KEY (tenant_id, id)",),
    # Rows live only briefly. Vacuum runs early, but never truncates the file, which would lock out every writer.
    storage="autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0, vacuum_truncate = off",
)
FAULTS = OwnTable(
    "rehouse_usage_faults",
    {
        "id": "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        "at": "timestamptz NOT NULL DEFAULT clock_timestamp()",
        "step": "text NOT NULL",
        "code": "text NOT NULL",
        "message": "text",
        "is_recounted": "boolean NOT NULL DEFAULT false",
    },
)
FUNCTIONS = (
    "rehouse_record_fault",
    "rehouse_usage_of_rows",
    "rehouse_usage_of_update",
    "rehouse_usage_of_truncate",
    "rehouse_usage_of_updates",
    "rehouse_usage_of_part_truncate",
    "rehouse_add_month",
    "rehouse_open_months",
    "rehouse_fold_usage",
    "rehouse_fold_at_commit",
    "rehouse_settle_usage",
    "rehouse_recount_usage",
)
TRIGGERS = frozenset({"rehouse_usage_insert", "rehouse_usage_delete", "rehouse_usage_update", "rehouse_usage_truncate"})
REPLACED_TRIGGERS = frozenset(
    {
        "trigger_update_tenant_storage",
        "rehouse_documents_arrived",
        "rehouse_documents_departed",
        "rehouse_document_changed",
        "rehouse_documents_truncated",
    }
)
"""The triggers of an older tool, and of the ledger's first version, which made writers of a tenant wait for each other."""
_FIRST_FUNCTION = "rehouse_shift_usage"
_UNIQUE = "tenant_usage_one_a_month"
_ONE_A_MONTH = f"CREATE UNIQUE INDEX IF NOT EXISTS {_UNIQUE} ON {{schema}}.tenant_usage (tenant_id, month)"


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements for the missing tables, functions, triggers and the count.

    Raises DatabaseRefused.
    """
    yield from preparations(catalog)
    triggers = catalog.documents.triggers
    untold = [part for part in catalog.documents.partitions if not part.triggers >= TRIGGERS]
    if not triggers >= TRIGGERS or triggers & REPLACED_TRIGGERS or untold:
        yield trial(catalog)
        yield Statement("this month's usage is opened", render(sources()["settle_usage"], catalog), Manner.ALONE)
        yield Statement(
            "documents are counted as they change", _triggers(catalog), Manner.POLITE, _table_name(catalog.documents)
        )
        yield from (_partition_triggers(catalog, part) for part in untold)
        yield from _drop_first_functions(catalog)
        yield _recount(catalog)
    else:
        yield from _drop_first_functions(catalog)
        made = {procedure.partition(":")[0] for procedure in catalog.procedures}
        if catalog.version != VERSIONS[-1] or catalog.usage_is_doubtful or not made.issuperset(FUNCTIONS):
            yield _recount(catalog)


def preparations(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements for the tables and functions, which have no effect yet.

    Raises DatabaseRefused.
    """
    existing = catalog.own.get(USAGE.name)
    if existing is None:
        yield create(catalog, USAGE)
        yield Statement(f"the index {_UNIQUE}", render(_ONE_A_MONTH, catalog))
    else:
        yield from _adopt(catalog, existing)
    for table in (DELTAS, FAULTS):
        found = catalog.own.get(table.name)
        if found is None:
            yield create(catalog, table)
        else:
            yield from complete(catalog, table, found)
    yield from _functions(catalog)
    deltas = catalog.own.get(DELTAS.name)
    if deltas is None or "rehouse_fold_at_commit" not in deltas.triggers:
        yield Statement("usage is folded at commit", render(sources()["usage_fold_trigger"], catalog))


def trial(catalog: Catalog) -> Statement:
    """Return the statement that tries the triggers on a temporary table and leaves nothing behind."""
    return Statement("the triggers are tried on a temporary table", render(sources()["usage_trial"], catalog))


def _triggers(catalog: Catalog) -> str:
    kind = "usage_partition_triggers" if catalog.documents.is_partitioned else "usage_row_triggers"
    return render(";\n".join(sources()[name] for name in ("usage_triggers_dropped", kind)), catalog)


def _partition_triggers(catalog: Catalog, part: Partition) -> Statement:
    """Return the triggers of a partition for statements that name it, because its parent's triggers do not fire then."""
    table = part.identifier.as_string(None)
    text = _triggers(catalog).replace(f" ON {_table_name(catalog.documents)}", f" ON {table}")
    text = text.replace("rehouse_usage_of_truncate()", "rehouse_usage_of_part_truncate()")
    return Statement(f"the partition {part.name} is counted", text, Manner.POLITE, table)


def _drop_first_functions(catalog: Catalog) -> Iterator[Statement]:
    if any(procedure.startswith(f"{_FIRST_FUNCTION}:") for procedure in catalog.procedures):
        text = render(sources()["first_usage_functions_dropped"], catalog)
        yield Statement("the functions of the first edition are dropped", text)


def _adopt(catalog: Catalog, existing: Table) -> Iterator[Statement]:
    refuse_unfit(catalog, USAGE, existing)
    yield from complete(catalog, USAGE, existing)
    filled = {"tenant_id", "month", "documents_count", "storage_used_mb", "storage_used_bytes"}
    for column in existing.columns.values():
        if column.is_required and not column.has_default and column.name in USAGE.columns.keys() - filled:
            default = (
                "gen_random_uuid()"
                if column.type == "uuid"
                else "now()"
                if column.type.startswith("timestamp")
                else "0"
            )
            text = render(f"ALTER TABLE {{schema}}.tenant_usage ALTER {column.name} SET DEFAULT {default}", catalog)
            yield Statement(f"tenant_usage.{column.name} gets a default", text, Manner.POLITE, _table_name(existing))
    if not existing.has_index("tenant_id", "month", unique=True):
        text = render(f"{sources()['adopt_older_usage']};\n{_ONE_A_MONTH}", catalog)
        yield Statement("tenant_usage has one row a tenant and month", text, Manner.POLITE, _table_name(existing))


def _functions(catalog: Catalog) -> Iterator[Statement]:
    changed = []
    for name in FUNCTIONS:
        text = render(sources()[name], catalog)
        body = text.split("$rehouse$")[1]
        if f"{name}:{hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}" not in catalog.procedures:
            changed.append(text)
    if changed:
        text = ";\n\n".join([*changed, render(sources()["usage_rights"], catalog)])
        yield Statement("the functions that keep tenant_usage", text)


def _table_name(table: Table) -> str:
    return table.identifier.as_string(None)


def _recount(catalog: Catalog) -> Statement:
    text = render("CALL {schema}.rehouse_recount_usage()", catalog)
    return Statement("tenant_usage is counted", text, Manner.ALONE)
