"""libcurl as both planes use it: the options of every request, and one multi handle with the sockets that it waits for.

Sockets are watched by epoll or poll and driven by socket_action, because `select` spins above descriptor 1,024. A handle follows
no redirects, normalises no paths, and takes no proxy from the environment. Handles belong to one process and one thread at a
time. No policy lives here.
"""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pycurl

from rehouse.s3.endpoint import Endpoint

OWN_LEFT_OUT = ("host:", "accept:")
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
    (pycurl.MAXAGE_CONN, 110),
    (pycurl.SSL_VERIFYPEER, 1),
    (pycurl.SSL_VERIFYHOST, 2),
)


def make_easy(method: str) -> Any:
    """Return an easy handle for requests of one method, because libcurl keeps the method."""
    curl: Any = pycurl.Curl()
    for option, value in _OPTIONS:
        curl.setopt(option, value)
    if method == "HEAD":
        curl.setopt(pycurl.NOBODY, 1)
    elif method != "GET":
        curl.setopt(pycurl.CUSTOMREQUEST, method)
    return curl


def lead_to(curl: Any, endpoint: Endpoint, before: Endpoint | None) -> None:
    """Set the endpoint's proxy and certificates on a handle that led to `before`."""
    if before is None or before.proxy != endpoint.proxy:
        curl.setopt(pycurl.PROXY, endpoint.proxy or "")
    if endpoint.ca_bundle is not None and (before is None or before.ca_bundle != endpoint.ca_bundle):
        is_folder = Path(endpoint.ca_bundle).is_dir()
        curl.setopt(pycurl.CAPATH if is_folder else pycurl.CAINFO, endpoint.ca_bundle)
        curl.setopt(pycurl.PROXY_CAPATH if is_folder else pycurl.PROXY_CAINFO, endpoint.ca_bundle)


class Driver:
    """A multi handle: it keeps at most `most_connections` open, and `for_many` requests at once it waits by epoll."""

    def __init__(self, most_connections: int, *, for_many: bool) -> None:
        self._watched: dict[int, int] = {}
        self._asked: deque[int] = deque(maxlen=1)
        self._due: float | None = None
        uses_epoll = for_many and hasattr(select, "epoll")
        self._poll: Any = select.epoll() if uses_epoll else select.poll()
        self._poll_unit = 1.0 if uses_epoll else 1000.0
        self._multi: Any = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, 0)
        self._multi.setopt(pycurl.M_MAXCONNECTS, most_connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._asked.append)
        self.add, self.remove = self._multi.add_handle, self._multi.remove_handle

    def step(self, timeout: float) -> None:
        """Wait at most `timeout` seconds until libcurl has something to do, and let it do it."""
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

    def take_ended(self) -> Iterator[tuple[Any, int, str]]:
        """Yield the easy handles whose transfers ended, with curl's error number (0: complete) and message."""
        queued = 1
        while queued:
            queued, good, bad = self._multi.info_read()
            for curl in good:
                yield curl, 0, ""
            yield from bad

    def close(self) -> None:
        """Close every connection; the transfers were removed before."""
        self._multi.close()
        if hasattr(self._poll, "close"):
            self._poll.close()

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
