"""How an error becomes an HTTP answer: one table, and one JSON body `{error, message, hint, subject}`.

An answer with 500 or more never repeats the message, which may name servers: it goes to the log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import cast

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from rehouse.core.errors import (
    BadUpload,
    BadUsage,
    ConfigurationError,
    DatabaseRefused,
    ForeignPointer,
    GrantExpired,
    GrantUnknown,
    InactiveTenant,
    NoSuchDocument,
    NoSuchObject,
    NotGranted,
    PreconditionFailed,
    QuotaExceeded,
    Refused,
    RehouseError,
    StorageRefused,
    TryAgain,
    UnknownTenant,
    UploadMismatch,
)
from rehouse.core.escaping import escape_to_one_line
from rehouse.s3.faults import PASSING

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
STATUSES: Mapping[type[RehouseError], int] = {
    UnknownTenant: 404,
    NoSuchDocument: 404,
    GrantUnknown: 404,
    NoSuchObject: 404,
    InactiveTenant: 403,
    ForeignPointer: 403,
    NotGranted: 403,
    Refused: 409,
    PreconditionFailed: 409,
    GrantExpired: 410,
    QuotaExceeded: 413,
    BadUpload: 422,
    UploadMismatch: 422,
    BadUsage: 422,
    StorageRefused: 500,
    RehouseError: 500,
    ConfigurationError: 500,
    DatabaseRefused: 503,  # as a rule it is restarted at the moment
    TryAgain: 503,
}
"""The status of an error is that of its class, or of the nearest class above it."""


class Problem(BaseModel):
    """The body of every answer that is no success."""

    error: str
    message: str
    hint: str
    subject: str | None = None


PROBLEMS: dict[int | str, dict[str, object]] = {
    404: {"model": Problem, "description": "The tenant, document or grant is unknown, or another tenant's"},
    403: {"model": Problem, "description": "The tenant is not active, or the grant does not allow this request"},
    409: {"model": Problem, "description": "Refused in the present state"},
    410: {"model": Problem, "description": "The grant has expired or ended"},
    413: {"model": Problem, "description": "Beyond a limit of the tenant's plan"},
    422: {"model": Problem, "description": "The upload or the request is not valid"},
    503: {"model": Problem, "description": "Try again after the seconds of Retry-After"},
}
"""What the routes may answer beside success, for OpenAPI."""


def answer_error(_request: Request, error: Exception) -> JSONResponse:
    """Return the answer to an error of the storage; for `app.add_exception_handler(RehouseError, answer_error)`."""
    found = cast("RehouseError", error)
    status = status_of(found)
    if status < 500:
        return answer_problem(status, _code(type(found)), found.message, found.hint, found.subject)
    log.warning("%s: %s", _code(type(found)), found.message)
    if status == 503:
        hint = f"try again after {RETRY_SECONDS} seconds"
        answer = answer_problem(status, _code(type(found)), "the storage is not available at the moment", hint)
        answer.headers["retry-after"] = str(RETRY_SECONDS)
        return answer
    return answer_failure(_code(type(found)))


def answer_failure(code: str = "internal_error") -> JSONResponse:
    """Return the answer to a failure that only who runs the server can correct."""
    return answer_problem(500, code, "the storage cannot answer", "the log of the server names the reason")


def answer_invalid(error: RequestValidationError) -> JSONResponse:
    """Return the answer to a request whose path, query or body is not valid. It names the first field that is wrong."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:] if not isinstance(part, int)) or str(first["loc"][0])
    field = escape_to_one_line(field[:80]).encode("utf-8", "backslashreplace").decode()  # a client may have named it
    message = f"{field}: {first['msg']}"
    return answer_problem(422, "bad_request", message, "docs/http.md and /openapi.json show what is expected", field)


def answer_http(_request: Request, error: Exception) -> JSONResponse:
    """Return the answer to an error of HTTP itself: no such route, a wrong method, a body that is too long."""
    found = cast("HTTPException", error)
    code = re.sub(r"\W+", "_", str(found.detail).lower())
    answer = answer_problem(
        found.status_code, code, str(found.detail), "docs/http.md and /openapi.json show the routes"
    )
    answer.headers.update(found.headers or {})
    return answer


def status_of(error: RehouseError) -> int:
    """Return the HTTP status of an error.

    >>> status_of(QuotaExceeded("too much", hint="delete something"))
    413
    """
    if isinstance(error, StorageRefused) and error.code in PASSING:
        return 503
    return next(STATUSES[each] for each in type(error).__mro__ if each in STATUSES)


def answer_problem(status: int, error: str, message: str, hint: str, subject: str | None = None) -> JSONResponse:
    """Return an answer that is no success, with the one body."""
    body = Problem(error=error, message=message, hint=hint, subject=subject)
    return JSONResponse(body.model_dump(), status_code=status)


def _code(kind: type[RehouseError]) -> str:
    """Return the class's name as a code: `NoSuchDocument` is `no_such_document`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
