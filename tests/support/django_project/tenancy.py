"""Who the current tenant is: a ContextVar, which a middleware sets from a header for the time of a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_current: ContextVar[str | None] = ContextVar("tenant", default=None)


def current_tenant() -> str | None:
    """Return the slug of the current tenant: what OPTIONS['tenant'] names."""
    return _current.get()


@contextmanager
def acting_as(slug: str | None) -> Iterator[None]:
    """Let the block be the tenant's."""
    token = _current.set(slug)
    try:
        yield
    finally:
        _current.reset(token)


class TenantMiddleware:
    """Let each request be of the tenant in its header."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        with acting_as(request.headers.get("x-tenant")):
            return self.get_response(request)
