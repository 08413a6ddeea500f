"""libcurl's multi interface as three operations: start a request, collect finished requests, close. No policy lives here.

Sockets are watched by epoll (or poll, if there is no epoll) and driven by socket_action, because `select` spins above
descriptor 1,024. It follows no redirects, normalises no paths, and takes no proxy from the environment. Handles belong to one
process and one thread at a time, as `exchange.py` and `sender.py` ensure.
"""

from __future__ import annotations

import select
import time
from collections import deque
from pathlib import Path
from typing import Any

import pycurl

from rehouse.s3.bulk.replies import Reply
from rehouse.s3.bulk.requests import Request
from rehouse.s3.endpoint import Endpoint

LARGEST_REPLY_BYTES = 64 * 1024**2
"""The limit of a reply. A listing of 1,000 escaped keys of 1,024 bytes has about 4 MB."""
SPARE_CONNECTIONS = 8
_OWN_LEFT_OUT = ["host:", "accept:"]
"""Removes libcurl's own headers. Ours follow as a single item, because libcurl sends it unchanged and each item costs CPU."""
_POLL_IN, _POLL_OUT = 1, 4  # the same numbers for poll and epoll
_WATCHED = {pycurl.POLL_IN: _POLL_IN, pycurl.POLL_OUT: _POLL_OUT, pycurl.POLL_INOUT: _POLL_IN | _POLL_OUT}

_OPTIONS = (
    (pycurl.NOSIGNAL, 1),
    (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
    (pycurl.PATH_AS_IS, 1),
    (pycurl.FOLLOWLOCATION, 0),
    (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
    (pycurl.NOPROXY, ""),
    (pycurl.USERAGENT, "rehouse"),
    (pycurl.TCP_NODELAY, 1),
    (pycurl.TCP_KEEPALIVE, 1),
    (pycurl.TCP_KEEPIDLE, 30),
    (pycurl.CONNECTTIMEOUT, 10),
    (pycurl.LOW_SPEED_LIMIT, 1),
    (pycurl.MAXAGE_CONN, 110),
    (pycurl.MAXFILESIZE, LARGEST_REPLY_BYTES),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
)


class _Handle:
    """An easy handle for one method, because libcurl keeps the method, with the buffers for its reply."""

    __slots__ = ("body", "curl", "endpoint", "lines", "request", "seconds")

    def __init__(self, method: str) -> None:
        self.curl: Any = pycurl.Curl()
        self.body: list[bytes] = []
        self.lines: list[bytes] = []
        self.request: Request[Any] | None = None
        self.endpoint: Endpoint | None = None
        self.seconds = 0
        for option, value in _OPTIONS:
            self.curl.setopt(option, value)
        if method == "HEAD":
            self.curl.setopt(pycurl.NOBODY, 1)
            # Else libcurl would compare the object's length with the limit, though no body comes.
            self.curl.setopt(pycurl.MAXFILESIZE, 0)
        elif method != "GET":
            self.curl.setopt(pycurl.CUSTOMREQUEST, method)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.body.append)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        self.curl.handle = self

    def connect_through(self, endpoint: Endpoint) -> None:
        """Set the endpoint's proxy and certificates."""
        before, self.endpoint = self.endpoint, endpoint
        if before is None or before.proxy != endpoint.proxy:
            self.curl.setopt(pycurl.PROXY, endpoint.proxy or "")
        if endpoint.ca_bundle is not None and (before is None or before.ca_bundle != endpoint.ca_bundle):
            is_folder = Path(endpoint.ca_bundle).is_dir()
            self.curl.setopt(pycurl.CAPATH if is_folder else pycurl.CAINFO, endpoint.ca_bundle)
            self.curl.setopt(pycurl.PROXY_CAPATH if is_folder else pycurl.PROXY_CAINFO, endpoint.ca_bundle)


class Transfers:
    """Requests in flight on one thread."""

    def __init__(self, max_in_flight: int) -> None:
        self.in_flight = 0
        self._idle: dict[str, list[_Handle]] = {}
        self._running: set[_Handle] = set()
        self._watched: dict[int, int] = {}
        self._asked: deque[int] = deque(maxlen=1)
        self._due: float | None = None
        self._poll: Any = select.epoll() if hasattr(select, "epoll") else select.poll()
        self._poll_unit = 1.0 if hasattr(select, "epoll") else 1000.0
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, 0)
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_in_flight + SPARE_CONNECTIONS)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._asked.append)

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
        curl.setopt(pycurl.HTTPHEADER, [*_OWN_LEFT_OUT, "\r\n".join(lines).encode("latin-1")])
        if handle.endpoint is not request.endpoint:
            handle.connect_through(request.endpoint)
        if handle.seconds != request.seconds:
            handle.seconds = request.seconds
            curl.setopt(pycurl.TIMEOUT, request.seconds)
            curl.setopt(pycurl.LOW_SPEED_TIME, request.seconds)
        handle.request = request
        self._multi.add_handle(curl)
        self._running.add(handle)
        self.in_flight += 1

    def take_finished(self, timeout: float) -> list[tuple[Request[Any], Reply]]:
        """Return the finished requests; wait at most `timeout` seconds for one."""
        now = time.monotonic()
        due = self._due_at(now)
        if due is not None:
            timeout = min(timeout, max(0.0, due - now))
        events = self._poll.poll(timeout * self._poll_unit)
        for descriptor, mask in events:
            self._multi.socket_action(descriptor, _action(mask))
        now = time.monotonic()
        due = self._due_at(now)
        if due is not None and (not events or now >= due):
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        return self._collect_finished()

    def close(self) -> None:
        """Abandon the requests in flight and close every connection."""
        for handle in self._running:
            self._multi.remove_handle(handle.curl)
            handle.curl.close()
        self._running.clear()
        self.in_flight = 0
        for handles in self._idle.values():
            for handle in handles:
                handle.curl.close()
        self._idle.clear()
        self._multi.close()
        if hasattr(self._poll, "close"):
            self._poll.close()

    def _collect_finished(self) -> list[tuple[Request[Any], Reply]]:
        found = []
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read()
            found += [self._reply(curl, 0, "") for curl in good]
            found += [self._reply(curl, errno, message) for curl, errno, message in bad]
        return found

    def _reply(self, curl: Any, errno: int, message: str) -> tuple[Request[Any], Reply]:
        handle: _Handle = curl.handle
        self._multi.remove_handle(curl)
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

    def _watch(self, what: int, descriptor: int, _multi: object, _data: object) -> None:
        if what == pycurl.POLL_REMOVE:
            if self._watched.pop(descriptor, None) is not None:
                self._poll.unregister(descriptor)
            return
        mask = _WATCHED.get(what, 0)
        if descriptor in self._watched:
            self._poll.modify(descriptor, mask)
        else:
            self._poll.register(descriptor, mask)
        self._watched[descriptor] = mask

    def _due_at(self, now: float) -> float | None:
        """Return when libcurl must be called next.

        The timeout that it requested last starts now.
        """
        if self._asked:
            milliseconds = self._asked.pop()
            self._due = None if milliseconds < 0 else now + milliseconds / 1000
        return self._due


def _action(mask: int) -> int:
    action = 0
    if mask & _POLL_IN:
        action |= pycurl.CSELECT_IN
    if mask & _POLL_OUT:
        action |= pycurl.CSELECT_OUT
    if mask & ~(_POLL_IN | _POLL_OUT):
        action |= pycurl.CSELECT_ERR
    return action
