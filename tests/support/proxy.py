"""A counting relay in front of the S3 server: bytes go through as they are, and every request line is kept.

The Host header is signed, so it is left alone: the server checks the signature with the relay's name in it.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Seen(NamedTuple):
    """A request that went through."""

    method: str
    path: str
    query: dict[str, list[str]]
    copies: bool

    @property
    def bucket(self) -> str:
        """The first segment of the path."""
        return unquote(self.path.split("/")[1])

    @property
    def is_listing(self) -> bool:
        """Whether it lists objects."""
        return self.method == "GET" and "list-type" in self.query


class Proxy:
    """The relay as a context manager; `seen` holds what went through since the last `forget`."""

    def __init__(self, port: int) -> None:
        self._upstream = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.seen: list[Seen] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def forget(self) -> None:
        """Begin to count again."""
        self.seen = []

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            for each in (self._listener, *self._open):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._upstream)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._replies, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client.makefile("rb") as reader:
            for head in heads(reader):
                self._note(head)
                server.sendall(head + reader.read(body_length(head)))
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _replies(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        for each in (client, server):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _note(self, head: bytes) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        url = urlsplit(target)
        copies = b"\r\nx-amz-copy-source:" in head.lower()
        self.seen.append(Seen(method, url.path, parse_qs(url.query, keep_blank_values=True), copies))


def heads(reader) -> Iterator[bytes]:
    """Yield the head of each request; the body must be read in between."""
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline()
            if not line:
                return
            head += line
        yield head


def body_length(head: bytes) -> int:
    """Return the Content-Length of a request."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0
