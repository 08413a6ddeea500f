"""Remove the ledger, its triggers and, on request, the columns that `init` added; refused while a tenant needs it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass

from rehouse.config import Settings
from rehouse.core.errors import Refused
from rehouse.ledger import uninstall as removing
from rehouse.ledger.belonging import refuse_other_mapping
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.connection import connect_with
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.lock import Locks
from rehouse.ledger.schema.statement import POLITE_MS, LockTimes
from rehouse.ledger.uninstall import Dependant, Removal

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class UninstallReport:
    """The names of what was removed, or would be, and what stays with the reason."""

    dry_run: bool
    removed: list[str]
    kept: dict[str, str]


def uninstall(
    settings: Settings,
    *,
    dry_run: bool = False,
    columns: bool = False,
    usage: bool = False,
    patience_seconds: float = 300,
) -> UninstallReport:
    """Remove everything that `init` made, in one transaction. `columns`: also the columns that it added. `usage`: tenant_usage too.

    Raises Refused if a tenant's documents are in its own bucket and may still have to be returned or finished, or if uploads are
    not confirmed or swept, TryAgain if somebody works on a tenant or has locked a table.
    """
    with ExitStack() as opened, translate_errors():
        connection = opened.enter_context(connect_with(settings))
        catalog = read(connection, settings.mapping)
        refuse_other_mapping(catalog, settings)
        _refuse(removing.dependants(connection, catalog))
        removing.refuse_unswept(connection, catalog)
        if not dry_run:
            locks = opened.enter_context(
                Locks(settings.require_database_url(), password_command=settings.database_password_command)
            )
            for tenant in removing.known_tenants(connection, catalog):
                locks.acquire(tenant if isinstance(tenant, int) else str(tenant))
        found = removing.find_removal(
            connection,
            catalog,
            columns=columns,
            usage=usage,
            default_bucket=settings.shared_bucket[0] if settings.shared_bucket else "",
        )
        if not dry_run and (found.tables or found.triggers):
            _refuse(removing.remove(connection, catalog, found, LockTimes(POLITE_MS, patience_seconds)))
    return UninstallReport(dry_run, list(_names(catalog, found)), found.kept)


def _refuse(dependants: list[Dependant]) -> None:
    if not dependants:
        return
    shown = ", ".join(f"{each.tenant} ({each.phase}, {each.moved:,} moved)" for each in dependants[:_SHOWN])
    more = f" and {len(dependants) - _SHOWN} more" if len(dependants) > _SHOWN else ""
    raise Refused(
        f"these tenants need the ledger, the only record of where their documents came from: {shown}{more}",
        hint="first run `rehouse finish SLUG` or `rehouse rollback SLUG` for each of them; nothing was changed",
        subject="database",
    )


def _names(catalog: Catalog, found: Removal) -> list[str]:
    triggers = [f"the trigger {name} on {catalog.documents.name}" for name in found.triggers]
    tables = [f"the table {name}" for name in found.tables]
    indexes = [f"the index {name}" for name in found.indexes]
    names = {"documents": catalog.documents.name, "tenants": catalog.tenants.name}
    return [*triggers, *tables, *indexes, *(f"the column {names[role]}.{column}" for role, column in found.columns)]
