"""Refuse to work on a ledger that was made for other tables or columns than the present mapping names."""

from __future__ import annotations

from rehouse.config import Settings, name_setting
from rehouse.core.belonging import Difference, LedgerMapping, MappedTable, differences, from_json
from rehouse.core.errors import DatabaseRefused
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.relations import Table

COLUMNS = {"tenants": ("id", "aws_bucket_name"), "documents": ("id", "tenant_id", "s3_bucket", "s3_key")}
"""The columns to which the ledger's records refer."""
LEDGER = "s3_migration_documents"
WAY_OUT = (
    "`rehouse init --accept-mapping` if the rows are the same documents, or if the ledger is to follow the new mapping"
)


def current_mapping(catalog: Catalog) -> LedgerMapping | None:
    """Return the present mapping with the database's oids and column numbers.

    None if there is no ledger.
    """
    ledger = catalog.own.get(LEDGER)
    if ledger is None:
        return None
    return LedgerMapping(
        ledger.oid,
        _mapped_table(catalog, "tenants", catalog.tenants),
        _mapped_table(catalog, "documents", catalog.documents),
    )


def find_differences(catalog: Catalog) -> list[Difference]:
    """Return how the mapping differs from the one that the ledger recorded.

    Empty if it recorded none.
    """
    now = current_mapping(catalog)
    if now is None or catalog.recorded_mapping is None:
        return []
    try:
        return differences(from_json(catalog.recorded_mapping), now)
    except (KeyError, TypeError, ValueError) as error:
        raise DatabaseRefused(
            f"the ledger's own record of its mapping cannot be read: {type(error).__name__}", hint=WAY_OUT
        ) from error


def explain(found: list[Difference], settings: Settings) -> tuple[str, str]:
    """Return the differences as a sentence, and a hint."""
    message = f"the ledger was made under another mapping: {'; '.join(map(str, found))}"
    leaves = {f"mapping.{each.role}.{each.column or 'table'}": each.then for each in found if each.then != each.now}
    back = [f"set {name_setting(settings, leaf)} to {then}" for leaf, then in leaves.items()]
    return message, "; ".join([*back, WAY_OUT])


def refuse_other_mapping(catalog: Catalog, settings: Settings) -> None:
    """Raise DatabaseRefused, with every difference, if the ledger was made for another mapping."""
    found = find_differences(catalog)
    if found:
        message, hint = explain(found, settings)
        raise DatabaseRefused(message, hint=hint)


def _mapped_table(catalog: Catalog, role: str, table: Table) -> MappedTable:
    names = {column: catalog.column(role, column) for column in COLUMNS[role]}
    columns = {column: (name, table.columns[name].number) for column, name in names.items() if name in table.columns}
    return MappedTable(f"{table.schema}.{table.name}", table.oid, columns)
