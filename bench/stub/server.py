"""HTTP/1.1 in one epoll loop: keep-alive, raw parsing, answers held back by a fixed latency if wanted. No TLS, no chunks."""

from __future__ import annotations

import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

IDLE_SECONDS = 1.0


class Asked(NamedTuple):
    """One request; header names in lower case, `target` as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answering = Callable[[Asked], bytes]


class _Connection:
    __slots__ = ("incoming", "outgoing", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.incoming = b""
        self.outgoing = b""


class Server:
    """Serves `answer` on the loopback until SIGTERM."""

    def __init__(self, port: int, answer: Answering, latency_seconds: float) -> None:
        self._answer = answer
        self._latency_seconds = latency_seconds
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}
        self._held: deque[tuple[float, _Connection, bytes]] = deque()
        self._running = True

    def serve(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._stop)
        while self._running:
            for descriptor, events in self._epoll.poll(self._wait_seconds()):
                if descriptor == self._listener.fileno():
                    self._accept()
                else:
                    self._serve(self._connections[descriptor], events)
            self._release()

    def _stop(self, *_: object) -> None:
        self._running = False

    def _wait_seconds(self) -> float:
        return max(0.0, self._held[0][0] - time.monotonic()) if self._held else IDLE_SECONDS

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except BlockingIOError:
                return
            connected.setblocking(False)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[connected.fileno()] = _Connection(connected)
            self._epoll.register(connected.fileno(), select.EPOLLIN)

    def _serve(self, connection: _Connection, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send(connection, b"")
            return
        try:
            data = connection.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._close(connection)
            return
        connection.incoming += data
        while (asked := _next(connection)) is not None:
            answer = self._answer(asked)
            if self._latency_seconds:
                self._held.append((time.monotonic() + self._latency_seconds, connection, answer))
            else:
                self._send(connection, answer)

    def _release(self) -> None:
        now = time.monotonic()
        while self._held and self._held[0][0] <= now:
            _, connection, answer = self._held.popleft()
            self._send(connection, answer)

    def _send(self, connection: _Connection, answer: bytes) -> None:
        waiting = connection.outgoing + answer if connection.outgoing else answer
        try:
            sent = connection.socket.send(waiting)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(connection)
            return
        before, connection.outgoing = connection.outgoing, waiting[sent:]
        if bool(before) != bool(connection.outgoing):
            mode = select.EPOLLOUT if connection.outgoing else select.EPOLLIN
            self._epoll.modify(connection.socket.fileno(), mode)

    def _close(self, connection: _Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None):
            self._epoll.unregister(connection.socket.fileno())
            connection.socket.close()


def _next(connection: _Connection) -> Asked | None:
    """Take one whole request off what has arrived, or return None."""
    head, found, rest = connection.incoming.partition(b"\r\n\r\n")
    if not found:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    if len(rest) < length:
        return None
    connection.incoming = rest[length:]
    method, target, _ = first.split(" ", 2)
    return Asked(method, target, headers, rest[:length])
