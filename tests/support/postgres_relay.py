"""A relay between rehouse and PostgreSQL that knows where a call begins and ends (PostgreSQL's frontend protocol, version 3).

A call ends with a simple Query, a Sync or a CopyDone of the client's; ReadyForQuery is the server's "done". The hooks do not hear
of the connection that publishes progress, whose calls come when a second has passed: a run must have the same calls each time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

UNHEARD = b"rehouse progress\0"
"""How the startup of a connection whose calls are passed on unheard names itself."""
CALLS = {b"Q": "query", b"S": "sync", b"c": "copy done"}

Hook = Callable[[str], None]


class PostgresRelay:
    """The relay as a context manager; `before` hears of a call not sent yet, `after` of one whose answer is held back.

    A hook that raises OSError cuts the connection.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._open: set[socket.socket] = set()
        self.before: Hook = lambda what: None
        self.after: Hook = lambda what: None

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> PostgresRelay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Cut every connection that is open."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open |= {client, server}
            said: list[str | None] = [""]
            threading.Thread(target=self._questions, args=(client, server, said), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client, said), daemon=True).start()

    def _questions(self, client: socket.socket, server: socket.socket, said: list[str | None]) -> None:
        with contextlib.suppress(OSError, EOFError, struct.error), client.makefile("rb") as reader:
            startup = _startup(reader)
            server.sendall(startup)
            if UNHEARD in startup:
                said[0] = None
            while True:
                kind, message = _message(reader)
                if said[0] is None:
                    pass
                elif kind == b"P":
                    said[0] = message[5:].split(b"\0", 2)[1].decode(errors="replace")
                elif kind == b"Q":
                    said[0] = message[5:-1].decode(errors="replace")
                if kind in CALLS and said[0] is not None:
                    self.before(_short(said[0], CALLS[kind]))
                server.sendall(message)
        self._close(client, server)

    def _answers(self, server: socket.socket, client: socket.socket, said: list[str | None]) -> None:
        is_open = False
        with contextlib.suppress(OSError, EOFError, struct.error), server.makefile("rb") as reader:
            while True:
                kind, message = _message(reader)
                if kind == b"Z":
                    if is_open and said[0] is not None:  # the first one ends the connection's set-up
                        self.after(_short(said[0], "ready"))
                    is_open = True
                client.sendall(message)
        self._close(client, server)

    def _close(self, *both: socket.socket) -> None:
        for each in both:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
            self._open.discard(each)


def _startup(reader) -> bytes:
    length = reader.read(4)
    return length + reader.read(struct.unpack("!i", length)[0] - 4)


def _message(reader) -> tuple[bytes, bytes]:
    head = reader.read(5)
    if len(head) < 5:
        raise EOFError
    return head[:1], head + reader.read(struct.unpack("!i", head[1:])[0] - 4)


def _short(statement: str, kind: str) -> str:
    words = " ".join(statement.split())
    return f"{words[:60] or 'a prepared statement'} ({kind})"
