"""The names of all tenants, for the shell's completion: one short connection that changes nothing."""

from __future__ import annotations

from contextlib import closing
from functools import partial

from rehouse.config import Settings, name_setting
from rehouse.core.addressing import addresses
from rehouse.ledger.catalog import read
from rehouse.ledger.connection import connect_with
from rehouse.ledger.queries import load


def tenant_names(settings: Settings) -> list[str]:
    """Return the slug, or else the id, by which commands know each tenant, active or not.

    Raises PostgreSQL's errors, DatabaseRefused and TryAgain.
    """
    with closing(connect_with(settings, application_name="rehouse completion")) as connection:
        catalog = read(connection, settings.mapping, partial(name_setting, settings))
        rows = connection.execute(load(catalog)["tenants"]).fetchall()
    return list(addresses({tenant_id: slug for tenant_id, slug, *_ in rows}).values())
