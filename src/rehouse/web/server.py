"""The application of `rehouse serve`: the router below `/tenants/{tenant}`, for a backend that has the token.

It keeps no session and knows no users: which user may work for which tenant is decided by the backend that calls it.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI, Path, Request
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from rehouse import __version__
from rehouse.runtime.storage import TenantStorage
from rehouse.web.dependency import tenant_dependency
from rehouse.web.errors import answer_failure, answer_http
from rehouse.web.guard import HEALTH, Application, LogRequests, RequireToken
from rehouse.web.router import storage_router

DESCRIPTION = """The document storage of each tenant, wherever a migration has it.

The tenant is named by its slug, its id, or `id:` and its id. Every request needs `Authorization: Bearer TOKEN`.
"""


def make_server_application(storage: TenantStorage, token: str) -> Application:
    """Return the application. Only requests with the token come to it, except for `/healthz`."""
    application = FastAPI(
        title="rehouse",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # its page would load scripts from another host
        redoc_url=None,
        redirect_slashes=False,
    )
    router = storage_router(tenant_dependency(storage, _tenant_of_path))
    bearer = Depends(HTTPBearer(auto_error=False))  # for OpenAPI: RequireToken has compared it before
    application.include_router(router, prefix="/tenants/{tenant}", dependencies=[bearer])
    application.add_api_route(HEALTH, _tell_health, tags=["health"])
    application.add_exception_handler(HTTPException, answer_http)
    application.add_exception_handler(Exception, _answer_bug)
    return LogRequests(RequireToken(application, token))


def _tenant_of_path(
    tenant: Annotated[str, Path(max_length=255, description="A slug, an id, or `id:` and an id")],
) -> str:
    return tenant


async def _tell_health() -> dict[str, str]:
    """Tell that the server answers. Nothing is asked of PostgreSQL or S3."""
    return {"status": "ok"}


async def _answer_bug(_request: Request, _error: Exception) -> JSONResponse:
    return answer_failure()
