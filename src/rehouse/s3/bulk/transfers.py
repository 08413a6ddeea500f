"""The transfers of the bulk plane as three operations: start a request, collect finished requests, close. No policy lives here.

Handles belong to one process and one thread at a time, as `exchange.py` and `sender.py` ensure.
"""

from __future__ import annotations

from typing import Any

import pycurl

from rehouse.s3.bulk.replies import Reply
from rehouse.s3.bulk.requests import Request
from rehouse.s3.endpoint import Endpoint
from rehouse.s3.transport import OWN_LEFT_OUT, Driver, lead_to, make_easy

LARGEST_REPLY_BYTES = 64 * 1024**2
"""The limit of a reply. A listing of 1,000 escaped keys of 1,024 bytes has about 4 MB."""
SPARE_CONNECTIONS = 8


class _Handle:
    """An easy handle for one method, because libcurl keeps the method, with the buffers for its reply."""

    __slots__ = ("body", "curl", "endpoint", "lines", "request", "seconds")

    def __init__(self, method: str) -> None:
        self.curl: Any = make_easy(method)
        self.body: list[bytes] = []
        self.lines: list[bytes] = []
        self.request: Request[Any] | None = None
        self.endpoint: Endpoint | None = None
        self.seconds = 0
        self.curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        if method != "HEAD":  # else libcurl would compare the object's length with the limit, though no body comes
            self.curl.setopt(pycurl.MAXFILESIZE, LARGEST_REPLY_BYTES)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.body.append)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        self.curl.handle = self


class Transfers:
    """Requests in flight on one thread."""

    def __init__(self, max_in_flight: int) -> None:
        self.in_flight = 0
        self._idle: dict[str, list[_Handle]] = {}
        self._running: set[_Handle] = set()
        self._driver = Driver(max_in_flight + SPARE_CONNECTIONS, for_many=True)

    @property
    def most_connections(self) -> int:
        """The most connections that may stay open while nothing is in flight."""
        return max(map(len, self._idle.values()), default=0)

    def start(self, request: Request[Any], lines: list[str]) -> None:
        """Start a request; `lines` are its signed headers."""
        idle = self._idle.setdefault(request.method, [])
        handle = idle.pop() if idle else _Handle(request.method)
        query = "?" + request.query if request.query else ""
        curl = handle.curl
        curl.setopt(pycurl.URL, f"{request.endpoint.origin}{request.path}{query}")
        curl.setopt(pycurl.HTTPHEADER, [*OWN_LEFT_OUT, "\r\n".join(lines).encode("latin-1")])
        if handle.endpoint is not request.endpoint:
            lead_to(curl, request.endpoint, handle.endpoint)
            handle.endpoint = request.endpoint
        if handle.seconds != request.seconds:
            handle.seconds = request.seconds
            curl.setopt(pycurl.TIMEOUT, request.seconds)
            curl.setopt(pycurl.LOW_SPEED_TIME, request.seconds)
        handle.request = request
        self._driver.add(curl)
        self._running.add(handle)
        self.in_flight += 1

    def take_finished(self, timeout: float) -> list[tuple[Request[Any], Reply]]:
        """Return the finished requests; wait at most `timeout` seconds for one."""
        self._driver.step(timeout)
        return [self._reply(curl, errno, message) for curl, errno, message in self._driver.take_ended()]

    def close(self) -> None:
        """Abandon the requests in flight and close every connection."""
        for handle in self._running:
            self._driver.remove(handle.curl)
            handle.curl.close()
        self._running.clear()
        self.in_flight = 0
        for handles in self._idle.values():
            for handle in handles:
                handle.curl.close()
        self._idle.clear()
        self._driver.close()

    def _reply(self, curl: Any, errno: int, message: str) -> tuple[Request[Any], Reply]:
        handle: _Handle = curl.handle
        self._driver.remove(curl)
        self._running.discard(handle)
        self.in_flight -= 1
        request = handle.request
        assert request is not None
        reply = Reply(errno, message, curl.getinfo(pycurl.RESPONSE_CODE), handle.lines.copy(), b"".join(handle.body))
        if errno:
            reply.proxy_status = curl.getinfo(pycurl.HTTP_CONNECTCODE)
        handle.lines.clear()
        handle.body.clear()
        handle.request = None
        self._idle[request.method].append(handle)
        return request, reply
