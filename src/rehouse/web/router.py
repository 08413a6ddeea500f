"""The router of the application's storage: its routes, for the tenant that the application's dependency names.

The routes are plain functions, which FastAPI runs on worker threads. A router without a tenant cannot be made.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from rehouse.core.errors import BadUpload, RehouseError
from rehouse.core.upload_requests import Purpose, UploadRequest
from rehouse.core.uploads import MOST_BYTES
from rehouse.runtime.handle import TenantHandle
from rehouse.runtime.values import DocumentInfo, DocumentVersion, StoredDocument, UploadGrant, Usage
from rehouse.s3.objects.presign import MOST_SECONDS
from rehouse.web.bodies import DownloadUrl, NewUpload, RequestToSign, SignedAnswer
from rehouse.web.body_stream import BodyStalled, BodyStream
from rehouse.web.dependency import TenantDependency, require_dependency
from rehouse.web.errors import PROBLEMS, answer_error, answer_http, answer_invalid


class BodyTooLong(HTTPException):
    """The body of a request is longer than its route takes."""

    def __init__(self) -> None:
        super().__init__(413, "content too large")


class StorageRoute(APIRoute):
    """A route whose errors become answers by the one table, in whatever application it is."""

    most_body_bytes = 64 * 1024

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of FastAPI, with errors answered."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                found = await handle(Request(request.scope, limit_body(request.receive, self.most_body_bytes)))
            except RehouseError as error:
                found = answer_error(request, error)
            except RequestValidationError as error:
                found = answer_invalid(error)
            except BodyTooLong as error:
                found = answer_http(request, error)
            found.headers.setdefault("cache-control", "no-store")  # rows change, and URLs carry signatures
            return found

        return answer


class ContentRoute(StorageRoute):
    """A route that takes the bytes of a document."""

    most_body_bytes = MOST_BYTES


def limit_body(receive: Receive, most: int) -> Receive:
    """Return `receive` with an end: it raises BodyTooLong once more than `most` bytes came."""
    left = most

    async def receive_some() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise BodyTooLong
        return message

    return receive_some


def storage_router(handle: TenantDependency, *, sniff: bool = False) -> APIRouter:
    """Return the routes of the storage, for the tenant that `tenant_dependency` opens. Raises BadUsage for anything else.

    `sniff`: a confirmation compares the declared type with the first bytes (needs `rehouse[sniff]`).

    >>> app.include_router(storage_router(handle), prefix="/api")       # doctest: +SKIP
    """
    opened = Depends(require_dependency(handle))

    def keep(request: Request, tenant: TenantHandle = opened) -> None:
        request.state.rehouse_tenant, request.state.rehouse_sniff = tenant, sniff

    router = APIRouter(dependencies=[Depends(keep)])
    router.include_router(routes)
    return router


async def _tenant_of_request(request: Request) -> TenantHandle:
    handle = request.state.rehouse_tenant
    assert isinstance(handle, TenantHandle)
    return handle


Tenant = Annotated[TenantHandle, Depends(_tenant_of_request)]
bodies = CapacityLimiter(16)
"""Bodies that arrive slowly keep a thread each. They have threads of their own, so that other requests do not wait for them."""
GrantId = Annotated[str, Path(max_length=80)]
DocumentId = Annotated[str, Path(max_length=1024)]
AsName = Annotated[str | None, Query(max_length=1024, description="The name of the saved file, if not the row's")]
routes = APIRouter(route_class=StorageRoute, responses=PROBLEMS)
"""The routes without a tenant. Only `storage_router` includes them."""


@routes.post("/uploads", status_code=201, response_model=UploadGrant, tags=["uploads"])
def create_upload(tenant: Tenant, wanted: NewUpload) -> Response:
    """Grant one upload of exactly this size, type and checksum, straight to S3."""
    checksum = None if wanted.checksum is None else (wanted.checksum.algorithm, wanted.checksum.value)
    grant = tenant.create_upload(
        wanted.document_id, wanted.name, wanted.size, wanted.content_type, checksum, as_form=wanted.as_form
    )
    return _grant(grant, 201)


@routes.get("/uploads/{grant_id}", response_model=UploadGrant, tags=["uploads"])
def resume_upload(tenant: Tenant, grant_id: GrantId) -> Response:
    """Return an open grant again, its URLs signed anew: for a page that was reloaded."""
    return _grant(tenant.resume_upload(grant_id), 200)


@routes.delete("/uploads/{grant_id}", status_code=204, tags=["uploads"])
def abort_upload(tenant: Tenant, grant_id: GrantId) -> None:
    """Give an upload up. What it has reserved is free at once."""
    tenant.abort_upload(grant_id)


@routes.post("/uploads/{grant_id}/confirm", tags=["uploads"])
def confirm_upload(request: Request, tenant: Tenant, grant_id: GrantId) -> StoredDocument:
    """Compare what arrived with what was granted, and point the document to it. Again: the same answer."""
    return tenant.confirm_upload(grant_id, sniff=request.state.rehouse_sniff)


@routes.post("/uploads/{grant_id}/sign", tags=["uploads"])
def sign_request(tenant: Tenant, grant_id: GrantId, wanted: RequestToSign) -> SignedAnswer:
    """Sign one request of Uppy's S3 plugin, if it is one of the grant's. The URL may be relative to this one."""
    asked = wanted.to_request()
    signed = tenant.sign_upload(grant_id, asked)
    match signed.purpose:
        case Purpose.CREATE | Purpose.COMPLETE:
            named = {"key": asked.key, **({"uploadId": asked.upload_id} if asked.upload_id else {})}
            url = f"multipart?{urlencode(named)}"
        case Purpose.ABORT:
            url = f"../{grant_id}"
        case _:
            url = signed.url or ""
    return SignedAnswer(url=url, key=signed.key, headers=signed.headers)


@routes.post("/uploads/{grant_id}/multipart", response_class=Response, tags=["uploads"])
def answer_multipart(
    tenant: Tenant,
    grant_id: GrantId,
    key: str,
    upload_id: Annotated[str | None, Query(alias="uploadId")] = None,
) -> Response:
    """Answer what Uppy asks of S3 before and after the parts, in S3's XML.

    The upload was begun when it was granted. `confirm` puts its parts together.
    """
    signed = tenant.sign_upload(grant_id, UploadRequest("POST", key, upload_id))
    told = f"<Key>{escape(signed.key)}</Key><UploadId>{escape(signed.upload_id or '')}</UploadId>"
    root = "InitiateMultipartUploadResult"
    if signed.purpose is Purpose.COMPLETE:
        root, told = "CompleteMultipartUploadResult", f"<Location>{escape(signed.key)}</Location>{told}"
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{told}</{root}>', media_type="application/xml")


@routes.get("/documents", tags=["documents"])
def list_documents(
    tenant: Tenant,
    after: Annotated[str | None, Query(max_length=1024)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[DocumentInfo]:
    """Return the tenant's documents in order of their ids, those behind the id `after`."""
    return tenant.list(after=after, limit=limit)


@routes.get("/documents/{document_id}", tags=["documents"])
def get_document(tenant: Tenant, document_id: DocumentId) -> DocumentInfo:
    """Return a document's row. `key` is null if it has no file."""
    return tenant.get(document_id)


@routes.get("/documents/{document_id}/url", tags=["documents"])
def get_download_url(
    tenant: Tenant,
    document_id: DocumentId,
    as_name: AsName = None,
    inline: bool = False,
    expires: Annotated[int | None, Query(ge=1, le=MOST_SECONDS)] = None,
) -> DownloadUrl:
    """Return a presigned URL that downloads the document for `expires` seconds."""
    return DownloadUrl(url=tenant.download_url(document_id, as_name, inline=inline, expires=expires))


@routes.get("/documents/{document_id}/content", response_class=RedirectResponse, status_code=307, tags=["documents"])
def redirect_to_content(
    tenant: Tenant, document_id: DocumentId, as_name: AsName = None, inline: bool = False
) -> Response:
    """Redirect to a presigned URL of the document."""
    url = tenant.download_url(document_id, as_name, inline=inline)
    return RedirectResponse(url, status_code=307)


async def put_content(
    tenant: Tenant, request: Request, document_id: DocumentId, name: Annotated[str, Query(max_length=1024)]
) -> StoredDocument:
    """Store the body as the document's file while it arrives. It is cheapest with a Content-Length."""
    length = request.headers.get("content-length")
    body = BodyStream(request.stream())

    def upload() -> StoredDocument:
        content_type = request.headers.get("content-type", "")
        try:
            return tenant.upload(document_id, name, body, content_type, size=None if length is None else int(length))
        except (ClientDisconnect, BodyStalled):
            raise BadUpload("the body ended early", hint="send it again", subject=document_id) from None

    return await to_thread.run_sync(upload, limiter=bodies)


routes.add_api_route(
    "/documents/{document_id}/content", put_content, methods=["PUT"], tags=["documents"],
    route_class_override=ContentRoute,
)  # fmt: skip


@routes.get("/documents/{document_id}/versions", tags=["documents"])
def list_versions(tenant: Tenant, document_id: DocumentId) -> list[DocumentVersion]:
    """Return the versions that the tenant's bucket keeps, the newest first."""
    return tenant.versions(document_id)


@routes.delete("/documents/{document_id}", status_code=204, tags=["documents"])
def delete_document(tenant: Tenant, document_id: DocumentId) -> None:
    """Delete the document's file. Its row stays, without a pointer."""
    tenant.delete(document_id)


@routes.post("/documents/{document_id}/undelete", tags=["documents"])
def undelete_document(tenant: Tenant, document_id: DocumentId) -> StoredDocument:
    """Bring the newest version of a deleted document back."""
    return tenant.undelete(document_id)


@routes.get("/usage", tags=["usage"])
def get_usage(tenant: Tenant) -> Usage:
    """Return what the tenant uses and has reserved, and the limits of its plan."""
    return tenant.usage()


def _grant(grant: UploadGrant, status: int) -> Response:
    return Response(grant.to_json(), status_code=status, media_type="application/json")
