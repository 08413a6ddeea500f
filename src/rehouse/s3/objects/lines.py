"""What carries a request: a line is a handle of libcurl with its open connections, for one request at a time.

Nothing is decided here. A line belongs to its process and, while it is lent, to one thread.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeVar

import pycurl

from rehouse.s3.bulk.replies import Reply
from rehouse.s3.bulk.requests import Request
from rehouse.s3.bulk.signing import EMPTY_BODY, UNSIGNED_PAYLOAD
from rehouse.s3.endpoint import Endpoint
from rehouse.s3.objects.traffic import Traffic, counted_traffic
from rehouse.s3.transport import OWN_LEFT_OUT, Driver, lead_to, make_easy

T = TypeVar("T")
Body = bytes | memoryview

BUFFER_BYTES = 256 * 1024
MOST_IDLE_LINES = 64
CONNECTIONS_A_LINE = 2


@dataclass(slots=True, eq=False)
class Call(Request[T]):
    """One request with its body.

    `was_lost`: an attempt failed so that S3 may have carried it out all the same, so a condition may fail because of ourselves.
    """

    body: Body = b""
    was_lost: bool = False
    traffic: Traffic | None = field(default_factory=counted_traffic)

    def payload(self) -> str:
        """Return what is signed for the body: nothing of it where TLS protects it, else its SHA-256."""
        if not self.body:
            return EMPTY_BODY
        return UNSIGNED_PAYLOAD if self.endpoint.origin.startswith("https:") else sha256(self.body).hexdigest()


class Handle:
    """An easy handle for requests of one method, with or without a body, and what its reply has brought so far."""

    def __init__(self, method: str, *, with_body: bool) -> None:
        self.curl: Any = make_easy(method)
        self.chunks: deque[bytes] = deque()
        self.lines: list[bytes] = []
        self.endpoint: Endpoint | None = None
        self._rewinds = 0
        self._least_bytes = 0
        self._body = memoryview(b"")
        self._position = 0
        self.curl.setopt(pycurl.BUFFERSIZE, BUFFER_BYTES)
        self.curl.setopt(pycurl.WRITEFUNCTION, self.chunks.append)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        self.curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        if with_body:
            self.curl.setopt(pycurl.UPLOAD, 1)
            self.curl.setopt(pycurl.CUSTOMREQUEST, method)
            self.curl.setopt(pycurl.UPLOAD_BUFFERSIZE, BUFFER_BYTES)
            self.curl.setopt(pycurl.READFUNCTION, self._read)
            self.curl.setopt(pycurl.SEEKFUNCTION, self._seek)

    def prepare(self, call: Call[Any], lines: list[str], *, is_stream: bool) -> None:
        """Set everything that belongs to this request."""
        curl, query = self.curl, "?" + call.query if call.query else ""
        head = "\r\n".join(lines).encode("latin-1")
        curl.setopt(pycurl.URL, f"{call.endpoint.origin}{call.path}{query}")
        curl.setopt(pycurl.HTTPHEADER, [*OWN_LEFT_OUT, "expect:", head])
        self._rewinds, self._least_bytes = 0, len(head) + len(call.path) + len(query)
        if self.endpoint is not call.endpoint:
            lead_to(curl, call.endpoint, self.endpoint)
            self.endpoint = call.endpoint
        curl.setopt(pycurl.TIMEOUT, 0 if is_stream or call.body else call.seconds)
        curl.setopt(pycurl.LOW_SPEED_TIME, 0 if is_stream else call.seconds)
        if call.body:
            self._body, self._position = memoryview(call.body).cast("B"), 0
            curl.setopt(pycurl.INFILESIZE_LARGE, len(self._body))

    def release(self) -> None:
        """Forget the body, which belongs to the caller, and what came."""
        self._body = memoryview(b"")
        self.chunks.clear()
        self.lines.clear()

    def was_resent(self) -> bool:
        """Return whether libcurl sent the request twice, which it does if a connection that was used before is lost."""
        return self._rewinds > 0 or self.curl.getinfo(pycurl.REQUEST_SIZE) >= 2 * self._least_bytes

    def _read(self, most: int) -> memoryview:
        found = self._body[self._position : self._position + most]
        self._position += len(found)
        return found

    def _seek(self, offset: int, _origin: int) -> int:
        self._position = offset
        self._rewinds += 1
        return 0


class Line:
    """A multi handle with its connections, which carries one request at a time."""

    def __init__(self) -> None:
        self._driver = Driver(CONNECTIONS_A_LINE, for_many=False)
        self._handles: dict[tuple[str, bool], Handle] = {}
        self._running: Handle | None = None
        self._end: tuple[int, str] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the whole answer has come."""
        return self._end is not None and not self._end[0]

    def begin(self, call: Call[Any], lines: list[str], *, is_stream: bool) -> Handle:
        """Start a request; `lines` are its signed headers."""
        kind = call.method, bool(call.body)
        handle = self._handles.get(kind)
        if handle is None:
            handle = self._handles[kind] = Handle(call.method, with_body=kind[1])
        handle.prepare(call, lines, is_stream=is_stream)
        self._driver.add(handle.curl)
        self._running, self._end = handle, None
        return handle

    def more(self, seconds: float) -> bool:
        """Let libcurl work, for at most `seconds` seconds. Return whether the transfer has ended."""
        if self._end is None:
            self._driver.step(seconds)
            for _, errno, message in self._driver.take_ended():
                self._end = errno, message
        return self._end is not None

    def finish(self, reason: tuple[int, str] = (0, "")) -> Reply:
        """Return what came, and end the request, with `reason` if it has not ended; its connection is closed then."""
        handle = self._running
        assert handle is not None
        errno, message = self._end or reason
        reply = Reply(errno, message, handle.curl.getinfo(pycurl.RESPONSE_CODE), handle.lines.copy(), b"")
        if errno:
            reply.proxy_status = handle.curl.getinfo(pycurl.HTTP_CONNECTCODE)
        self._driver.remove(handle.curl)
        handle.release()
        self._running = None
        return reply

    def close(self) -> None:
        """Close every connection."""
        if self._running is not None:
            self.finish()
        for handle in self._handles.values():
            handle.curl.close()
        self._driver.close()


class Lines:
    """The idle lines of a process, those used last at the end, and whether the endpoint ever answered."""

    def __init__(self) -> None:
        self.answered = False
        self._lock = threading.Lock()
        self._idle: list[tuple[str, Line]] = []

    def take(self, origin: str) -> Line:
        """Return a line, one with a connection to `origin` if there is one."""
        with self._lock:
            for at in range(len(self._idle) - 1, -1, -1):
                if self._idle[at][0] == origin:
                    return self._idle.pop(at)[1]
            if len(self._idle) >= MOST_IDLE_LINES:
                return self._idle.pop(0)[1]
        return Line()

    def give_back(self, origin: str, line: Line) -> None:
        """Keep a line for the next request, and close the one that was not used for longest if there are too many."""
        with self._lock:
            self._idle.append((origin, line))
            surplus = self._idle.pop(0)[1] if len(self._idle) > MOST_IDLE_LINES else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close the idle lines."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, line in idle:
            line.close()
