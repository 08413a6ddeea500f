"""Adopt an s3_migrations table of an older tool: keep one row per tenant and record every row in the history.

An older "completed" proves nothing, so the kept row starts again at "pending".
"""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.ledger.catalog import Catalog
from rehouse.ledger.facts import ADOPTED_TABLES, record_items
from rehouse.ledger.queries import sources
from rehouse.ledger.relations import Table
from rehouse.ledger.schema.statement import Manner, Statement
from rehouse.ledger.schema.tables import MIGRATIONS, STATUSES, complete, one_of, refuse_unfit, render

_KEPT_NOT_NULL = ("id", "tenant_id")
_UNIQUE = "s3_migrations_one_a_tenant"


def statements(catalog: Catalog) -> Iterator[Statement]:
    """Yield the statements that adopt the table, if it exists, with one row per tenant.

    Raises DatabaseRefused.
    """
    existing = catalog.own.get(MIGRATIONS.name)
    if existing is None:
        yield Statement(f"the index {_UNIQUE}", render(_create_unique_index(), catalog))
        return
    refuse_unfit(catalog, MIGRATIONS, existing)
    yield from _columns(catalog, existing)
    yield from _check(catalog, existing)
    if not existing.has_index("tenant_id", unique=True):
        yield Statement(
            f"the index {_UNIQUE}", render(_create_unique_index(), catalog), Manner.POLITE, _table_name(existing)
        )


def _columns(catalog: Catalog, existing: Table) -> Iterator[Statement]:
    completed = list(complete(catalog, MIGRATIONS, existing))
    if "phase" in existing.columns:
        yield from completed
        return
    columns = existing.columns.values()
    loose = [c.name for c in columns if c.is_required and not c.has_default and c.name not in _KEPT_NOT_NULL]
    changes = [sources()["adopt_older_migrations"]]
    changes += [f"ALTER TABLE {{schema}}.s3_migrations ALTER {name} DROP NOT NULL" for name in loose]
    key = existing.columns.get("id")
    if key and key.type == "uuid" and not key.has_default:
        changes.append("ALTER TABLE {schema}.s3_migrations ALTER id SET DEFAULT gen_random_uuid()")
    text = ";\n".join(
        [
            completed[0].text,
            *(render(change, catalog) for change in [*changes, sources()["begin_again"]]),
            record_items(catalog.schema, ADOPTED_TABLES, [MIGRATIONS.name]),
        ]
    )
    change = "the older rows of s3_migrations become history, each tenant begins at pending"
    yield Statement(change, text, Manner.POLITE, _table_name(existing))


def _check(catalog: Catalog, existing: Table) -> Iterator[Statement]:
    checks = [check for check in existing.checks if check.columns == ("status",)]
    if checks and all(f"'{status}'" in check.definition for check in checks for status in STATUSES):
        return
    dropped = "".join(f"DROP CONSTRAINT IF EXISTS {_quote(check.name)}, " for check in checks)
    name = "s3_migrations_status_check"
    text = f"ALTER TABLE {{schema}}.s3_migrations {dropped}ADD CONSTRAINT {name} {one_of('status', STATUSES)}"
    change = "s3_migrations.status may be rolled_back"
    yield Statement(change, render(text, catalog), Manner.POLITE, _table_name(existing))


def _table_name(table: Table) -> str:
    return table.identifier.as_string(None)


def _create_unique_index() -> str:
    return f"CREATE UNIQUE INDEX IF NOT EXISTS {_UNIQUE} ON {{schema}}.s3_migrations (tenant_id)"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""').replace("{", "{{").replace("}", "}}") + '"'
