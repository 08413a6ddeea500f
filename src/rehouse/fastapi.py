"""What a FastAPI application imports: the dependency that opens a tenant's storage, and a router over it (docs/http.md)."""

from rehouse.runtime.handle import TenantHandle
from rehouse.web.dependency import tenant_dependency
from rehouse.web.errors import answer_error
from rehouse.web.router import storage_router

__all__ = ["TenantHandle", "answer_error", "storage_router", "tenant_dependency"]
