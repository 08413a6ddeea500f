"""What the tests of the HTTP faces share: an application with the router on a real server, and a client of a tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from tests.runtime.conftest import acme, room, storage
from tests.support.serving import serving

from rehouse.core.errors import RehouseError
from rehouse.fastapi import answer_error, storage_router, tenant_dependency
from rehouse.runtime.handle import TenantHandle
from rehouse.runtime.storage import TenantStorage

__all__ = ["acme", "room", "storage"]


def tenant_of(x_user: str | None = Header(default=None)) -> str | None:
    """The application's own rule: a header names the tenant; who sends `nobody` may not do anything."""
    if x_user == "nobody":
        raise HTTPException(401, "sign in")
    return x_user


def make_application(storage: TenantStorage) -> FastAPI:
    handle = tenant_dependency(storage, tenant_of)
    made = FastAPI()
    made.include_router(storage_router(handle), prefix="/api")
    made.add_exception_handler(RehouseError, answer_error)

    @made.get("/names")
    def names(tenant: TenantHandle = Depends(handle)) -> list[str]:  # noqa: B008
        return [each.name for each in tenant.list()]

    @made.get("/fails")
    async def fails(tenant: TenantHandle = Depends(handle)) -> str:  # noqa: B008
        return (await asyncio.to_thread(tenant.get, "none")).name

    return made


@pytest.fixture
def address(storage) -> Iterator[str]:
    with serving(make_application(storage)) as found:
        yield found


@pytest.fixture
def client_of(address) -> Iterator[Callable[[str | None], httpx.Client]]:
    """Make clients that name a tenant in the header that the application reads."""
    made: list[httpx.Client] = []

    def make(tenant: str | None) -> httpx.Client:
        headers = {} if tenant is None else {"x-user": tenant}
        made.append(httpx.Client(base_url=f"{address}/api", headers=headers, timeout=60))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def api(client_of) -> httpx.Client:
    """The client of the tenant `acme`."""
    return client_of("acme")


@pytest.fixture
def document(room) -> str:
    """A row of `acme` without a file."""
    room.row("d1", None)
    return "d1"
