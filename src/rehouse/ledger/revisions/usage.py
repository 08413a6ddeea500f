"""tenant_usage: created or adopted, kept exact by triggers on documents, counted once tenant by tenant.

The order is the safety: months are opened before the triggers exist (a table of usage that refuses our rows then stops
`init`, not the application), and the count comes after them, so that no change falls between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.queries import sources
from rehouse.ledger.relations import Table
from rehouse.ledger.revisions.statement import Manner, Statement
from rehouse.ledger.revisions.tables import OwnTable, complete, create, refuse_unfit, rendered

USAGE = OwnTable(
    "tenant_usage",
    {
        "id": "uuid PRIMARY KEY DEFAULT gen_random_uuid()",
        "tenant_id": "{tenant_id_type} NOT NULL",
        "month": "date NOT NULL",
        "documents_count": "integer DEFAULT 0",
        "storage_used_mb": "integer DEFAULT 0",
        "storage_used_bytes": "bigint",
        "api_calls_count": "integer DEFAULT 0",
        "active_users_count": "integer DEFAULT 0",
        "created_at": "timestamptz DEFAULT now()",
        "updated_at": "timestamptz DEFAULT now()",
    },
)
FUNCTIONS = (
    "rehouse_open_month",
    "rehouse_open_months",
    "rehouse_shift_usage",
    "rehouse_documents_arrived",
    "rehouse_documents_departed",
    "rehouse_document_changed",
    "rehouse_documents_truncated",
    "rehouse_roll_months",
    "rehouse_recount_usage",
)
TRIGGERS = frozenset(
    {
        "rehouse_documents_arrived",
        "rehouse_documents_departed",
        "rehouse_document_changed",
        "rehouse_documents_truncated",
    }
)
OLDER_TRIGGER = "trigger_update_tenant_storage"
_UNIQUE = "tenant_usage_one_a_month"
_ONE_A_MONTH = f"CREATE UNIQUE INDEX IF NOT EXISTS {_UNIQUE} ON {{schema}}.tenant_usage (tenant_id, month)"


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield what is missing of the table, the functions, the triggers and the count. Raises DatabaseRefused."""
    existing = catalog.own.get(USAGE.name)
    if existing is None:
        yield create(catalog, USAGE)
        yield Statement(f"the index {_UNIQUE}", rendered(_ONE_A_MONTH, catalog))
    else:
        yield from _adopt(catalog, existing)
    yield from _functions(catalog)
    if not catalog.documents.triggers >= TRIGGERS or OLDER_TRIGGER in catalog.documents.triggers:
        yield Statement("this month's usage is opened", rendered(sources()["roll_months"], catalog), Manner.ALONE)
        yield Statement(
            "documents are counted as they change", rendered(sources()["usage_triggers"], catalog), Manner.POLITE
        )
        yield _recount(catalog)
    elif catalog.version is None:
        yield _recount(catalog)


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
            text = rendered(f"ALTER TABLE {{schema}}.tenant_usage ALTER {column.name} SET DEFAULT {default}", catalog)
            yield Statement(f"tenant_usage.{column.name} gets a default", text, Manner.POLITE)
    if not existing.has_index("tenant_id", "month", unique=True):
        text = rendered(f"{sources()['adopt_older_usage']};\n{_ONE_A_MONTH}", catalog)
        yield Statement("tenant_usage has one row a tenant and month", text, Manner.POLITE)


def _functions(catalog: Catalog) -> Iterator[Statement]:
    changed = []
    for name in FUNCTIONS:
        text = rendered(sources()[name], catalog)
        body = text.split("$$")[1]
        if f"{name}:{hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()}" not in catalog.procedures:
            changed.append(text)
    if changed:
        text = ";\n\n".join([*changed, rendered(sources()["usage_rights"], catalog)])
        yield Statement("the functions that keep tenant_usage", text)


def _recount(catalog: Catalog) -> Statement:
    text = rendered("CALL {schema}.rehouse_recount_usage()", catalog)
    return Statement("tenant_usage is counted", text, Manner.ALONE)
