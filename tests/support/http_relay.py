"""An HTTP relay between rehouse and the S3 server whose rules may answer, hang up, or change what the server answered.

The Host header is signed, so it goes through as it is: the server checks the signature with the relay's name in it.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote, urlsplit

SUBRESOURCES = (
    "policy", "lifecycle", "versioning", "encryption", "publicAccessBlock", "ownershipControls", "cors", "logging",
    "metrics", "tagging", "location", "versions", "uploads", "delete", "acl", "notification", "replication",
)  # fmt: skip


class HungUp(Exception):
    """A rule's order: close the connection without an answer."""


@dataclass(frozen=True)
class Request:
    """A request as it came: `head` ends with the empty line."""

    head: bytes
    body: bytes

    @property
    def method(self) -> str:
        """GET, PUT, …"""
        return self.head.split(b" ", 1)[0].decode()

    @property
    def path(self) -> str:
        """The path, percent-encoded."""
        return urlsplit(self._target).path

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's parameters."""
        return parse_qs(urlsplit(self._target).query, keep_blank_values=True)

    @property
    def bucket(self) -> str:
        """The first segment of the path."""
        return unquote(self.path.split("/")[1])

    @property
    def key(self) -> str:
        """What follows the bucket."""
        return unquote("/".join(self.path.split("/")[2:]))

    @property
    def headers(self) -> dict[str, str]:
        """The headers, lower-case names."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}

    @property
    def copies(self) -> bool:
        """Whether it copies an object or a part of one."""
        return b"\r\nx-amz-copy-source:" in self.head.lower()

    @property
    def is_listing(self) -> bool:
        """Whether it lists objects."""
        return self.method == "GET" and "list-type" in self.query

    @property
    def operation(self) -> str:
        """What S3 calls it, such as CopyObject, ListObjectsV2 or `PUT policy`."""
        if self.key:
            part = "UploadPart" if "partNumber" in self.query else "Object"
            if self.copies:
                return f"{part}Copy" if part == "UploadPart" else "CopyObject"
            if "uploads" in self.query or "uploadId" in self.query:
                return f"{self.method} upload"
            return f"{self.method} {'tagging' if 'tagging' in self.query else 'object'}"
        if "list-type" in self.query:
            return "ListObjectsV2"
        for name in SUBRESOURCES:
            if name in self.query:
                return f"{self.method} {name}"
        if not self.bucket:
            return "sts" if self.method == "POST" else "ListBuckets"
        return f"{self.method} bucket"

    @property
    def _target(self) -> str:
        return self.head.split(b" ", 2)[1].decode("latin-1")


@dataclass(frozen=True)
class Reply:
    """An answer. `announced`: a Content-Length that is not the body's (HEAD, or a torn answer)."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/xml"),)
    announced: int | None = None

    def encoded(self) -> bytes:
        """The bytes on the wire."""
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, 'Odd')}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines.append(f"Content-Length: {len(self.body) if self.announced is None else self.announced}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


Before = Callable[[Request], Reply | None]
After = Callable[[Request, Reply], Reply]


class HttpRelay:
    """The relay as a context manager.

    `seen` holds what came since the last `forget`. `before` may answer in the server's stead or raise HungUp; `after` may change
    the server's answer or raise HungUp.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._lock = threading.Lock()
        self.before: Before = lambda request: None
        self.after: After = lambda request, reply: reply
        self.seen: list[Request] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> HttpRelay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def forget(self) -> None:
        """Begin to count again."""
        self.seen = []

    def ask(self, request: Request) -> Reply:
        """Ask the server on a connection of its own, past every rule."""
        with socket.create_connection(("127.0.0.1", self._port)) as upstream:
            return _asked(upstream, request)[0]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        upstream: socket.socket | None = None
        with (
            contextlib.closing(client),
            contextlib.suppress(OSError, ValueError, HungUp),
            client.makefile("rb") as reader,
        ):
            try:
                for head in heads(reader):
                    if b"\r\nexpect: 100-continue" in head.lower():
                        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    request = Request(head, reader.read(body_length(head)))
                    with self._lock:
                        self.seen.append(request)
                    reply = self.before(request)
                    if reply is None:
                        upstream = upstream or socket.create_connection(("127.0.0.1", self._port))
                        reply, closes = _asked(upstream, request)
                        if closes:
                            upstream.close()
                            upstream = None
                        reply = self.after(request, reply)
                    client.sendall(reply.encoded())
                    if reply.announced is not None and request.method != "HEAD":
                        return
            finally:
                if upstream:
                    upstream.close()


def _asked(upstream: socket.socket, request: Request) -> tuple[Reply, bool]:
    """Ask the server; return its answer and whether it closes the connection."""
    upstream.sendall(request.head.replace(b"Expect: 100-continue\r\n", b"") + request.body)
    answer = http.client.HTTPResponse(upstream, method=request.method)
    answer.begin()
    body = answer.read()
    kept = tuple(
        (name, value)
        for name, value in answer.getheaders()
        if name.lower() not in ("content-length", "transfer-encoding", "connection")
    )
    reply = Reply(answer.status, body, kept)
    if request.method == "HEAD":
        reply = replace(reply, announced=int(answer.headers.get("Content-Length") or 0))
    return reply, bool(answer.will_close)


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
