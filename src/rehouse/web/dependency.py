"""The FastAPI dependency that gives a route the storage of the tenant that its request names.

The application says how a request names its tenant. There is no default tenant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Depends

from rehouse.core.errors import BadUsage, UnknownTenant
from rehouse.runtime.handle import TenantHandle
from rehouse.runtime.storage import TenantStorage

TenantDependency = Callable[..., TenantHandle]
"""What `tenant_dependency` returns: for `Depends(…)` and for `storage_router`."""
_MADE_HERE = "__rehouse_tenant__"


def tenant_dependency(storage: TenantStorage, tenant: Callable[..., Any]) -> TenantDependency:
    """Return a dependency that opens the storage of the tenant that `tenant` returns.

    `tenant` is a FastAPI dependency of the application: it reads the session, a token or the path, and returns a slug or an id. It
    raises an HTTPException for whoever may not work for the tenant. Raises BadUsage if it cannot be called.

    >>> tenant_dependency(storage, None)                        # doctest: +SKIP
    Traceback (most recent call last):
    rehouse.core.errors.BadUsage: None does not tell which tenant a request is for
    """
    if not callable(tenant):
        raise BadUsage(
            f"{tenant!r} does not tell which tenant a request is for",
            hint="pass a function that returns the tenant's slug or id: tenant_dependency(storage, tenant_of)",
            subject="tenant",
        )

    of_request = Depends(tenant)

    def open_tenant(named: Any = of_request) -> TenantHandle:
        if named is None or named == "":
            raise UnknownTenant("the request names no tenant", hint="sign in, or name a tenant", subject="tenant")
        return storage.for_tenant(named)

    setattr(open_tenant, _MADE_HERE, True)
    return open_tenant


def require_dependency(handle: object) -> TenantDependency:
    """Return what `tenant_dependency` has made. Raises BadUsage for anything else."""
    if not callable(handle) or not getattr(handle, _MADE_HERE, False):
        raise BadUsage(
            f"{handle!r} opens no tenant's storage",
            hint="pass what tenant_dependency(storage, tenant_of) returns",
            subject="tenant",
        )
    return handle
