"""A data room: one page, a list of documents for each tenant, uploads straight from the browser to S3.

Copy what you need. The storage's routes come from `storage_router`. What is left are this application's own rows, its tenants, and
a button that starts a tenant's migration, so that you can watch it while you upload.
"""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import psycopg
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from psycopg.rows import dict_row
from pydantic import BaseModel, Field

from rehouse import TenantStorage
from rehouse.core.errors import RehouseError
from rehouse.fastapi import TenantHandle, answer_error, storage_router, tenant_dependency

PAGE = Path(__file__).with_name("page")
TENANTS = """
SELECT t.slug, t.name, m.phase, coalesce(m.documents_migrated, 0) AS migrated, coalesce(m.documents_total, 0) AS total,
  t.aws_bucket_name AS bucket
FROM tenants t LEFT JOIN s3_migrations m ON m.tenant_id = t.id WHERE t.slug IS NOT NULL AND t.is_active ORDER BY t.name
"""
INSERT = """
INSERT INTO documents (id, tenant_id, original_name, filename, mimetype, size) VALUES (%s, %s, %s, %s, %s, %s)
"""

POLICY = "default-src 'self'; connect-src 'self' {s3}; frame-src 'self' {s3}; img-src 'self' data:; form-action 'none'"
"""The page speaks to this server and to S3, and to nobody else."""


class NewDocument(BaseModel):
    """The row that an upload will fill."""

    name: str = Field(min_length=1, max_length=500)
    content_type: str = Field(default="", max_length=255)
    size: int = Field(ge=0)


class Migrations:
    """The commands that this page has started, one a tenant."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, command: str, slug: str) -> None:
        """Start `rehouse migrate` or `rehouse rollback`, unless one is at work on the tenant."""
        if self.is_running(slug):
            raise HTTPException(409, "a command is at work on this tenant")
        options = ["--progress", "none", *(["--yes"] if command == "rollback" else [])]
        arguments = [sys.executable, "-m", "rehouse", command, *options, "--", slug]
        self._running[slug] = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)

    def is_running(self, slug: str) -> bool:
        """Return whether a command is at work on the tenant."""
        process = self._running.get(slug)
        return process is not None and process.poll() is None


def create_app(storage: TenantStorage, s3: str) -> FastAPI:
    """Return the application over a storage, whose settings name the database too; `s3`: where the browser finds the buckets."""
    app = FastAPI(title="Data room", docs_url=None, redoc_url=None)
    migrations = Migrations()
    url = storage.settings.database_url
    assert url is not None

    @contextmanager
    def database() -> Iterator[psycopg.Connection[dict[str, object]]]:
        with psycopg.connect(url.get_secret_value(), autocommit=True, row_factory=dict_row) as connection:
            yield connection

    def tenant_of(tenant: str) -> str:
        """Return who asks. Here everybody may choose a tenant in the path; yours reads it from the session."""
        return tenant

    handle = tenant_dependency(storage, tenant_of)
    app.include_router(storage_router(handle), prefix="/api/{tenant}")
    app.add_exception_handler(RehouseError, answer_error)

    @app.post("/api/{tenant}/rows", status_code=201)
    def insert_row(new: NewDocument, tenant: Annotated[TenantHandle, Depends(handle)]) -> dict[str, str]:
        document_id = str(uuid.uuid4())
        with database() as connection:
            values = (document_id, tenant.tenant_id, new.name, new.name, new.content_type, new.size)
            connection.execute(INSERT, values)
        return {"document_id": document_id}

    @app.get("/api/tenants")
    def list_tenants() -> list[dict[str, object]]:
        with database() as connection:
            return [
                {**row, "is_running": migrations.is_running(str(row["slug"]))} for row in connection.execute(TENANTS)
            ]

    @app.post("/api/{tenant}/{command}", status_code=202)
    def start(
        command: Literal["migrate", "rollback"], tenant: str, _: Annotated[TenantHandle, Depends(handle)]
    ) -> None:
        migrations.start(command, tenant)

    @app.delete("/api/{tenant}/rows/{document_id}", status_code=204)
    def delete_row(document_id: str, tenant: Annotated[TenantHandle, Depends(handle)]) -> None:
        """Delete the row of an upload that was given up."""
        with database() as connection:
            empty = "DELETE FROM documents WHERE id = %s AND tenant_id = %s AND s3_key IS NULL"
            connection.execute(empty, (document_id, tenant.tenant_id))

    @app.get("/")
    def page() -> Response:
        return FileResponse(PAGE / "index.html", headers={"content-security-policy": POLICY.format(s3=s3)})

    app.mount("/page", StaticFiles(directory=PAGE))
    return app
