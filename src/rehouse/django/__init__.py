"""Django's face of the application's storage: `TenantFileStorage` for `STORAGES`. The only room that imports Django."""

from __future__ import annotations

from rehouse.django.connections import close_storages
from rehouse.django.refusals import NoCurrentTenant, TenantFileRefused
from rehouse.django.storage import TenantFileStorage

__all__ = ["NoCurrentTenant", "TenantFileRefused", "TenantFileStorage", "close_storages"]
