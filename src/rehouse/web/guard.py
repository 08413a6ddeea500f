"""What stands before the application of `rehouse serve`: the token, and a line in the log for each request."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any

from rehouse.web.errors import answer_problem

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""An ASGI application."""

HEALTH = "/healthz"
"""The one path that needs no token."""
log = logging.getLogger(__name__)


class RequireToken:
    """Answers 401 to every request without `Authorization: Bearer TOKEN`. The token is compared in constant time."""

    def __init__(self, application: Application, token: str) -> None:
        self._application, self._digest = application, sha256(token.encode()).digest()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it."""
        if scope["type"] == "http" and scope["path"] != HEALTH and not self._has_token(scope):
            refusal = answer_problem(
                401, "unauthorized", "the bearer token is missing or wrong", "send Authorization: Bearer TOKEN"
            )
            refusal.headers["www-authenticate"] = "Bearer"
            await refusal(scope, receive, send)
            return
        await self._application(scope, receive, send)

    def _has_token(self, scope: Message) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        is_same = hmac.compare_digest(sha256(token.strip()).digest(), self._digest)
        return is_same and scheme.lower() == b"bearer"


class LogRequests:
    """Logs the method, path, status and time of each request, and neither its query nor its headers."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and log how it ended."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        begun, status = time.monotonic(), "-"

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._application(scope, receive, note)
        except Exception:  # it is answered by now, and a bug must not be hidden
            log.exception("%s %s", scope["method"], scope["path"])
        finally:
            took = (time.monotonic() - begun) * 1000
            log.info("%s %s %s %.0f ms", scope["method"], scope["path"], status, took)
