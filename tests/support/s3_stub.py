"""A scripted HTTP server for what no S3 server here does: overload, broken replies, strict conditions. It records every request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

COPIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<LastModified>2026-11-01T00:00:00.000Z</LastModified><ETag>&quot;0123abcd&quot;</ETag></CopyObjectResult>"
)


def error(code: str, message: str = "a sentence", **elements: str) -> bytes:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in elements.items())
    return f"<Error><Code>{code}</Code><Message>{message}</Message>{inside}<RequestId>R1</RequestId></Error>".encode()


@dataclass
class Scripted:
    """One reply. `announced`: a Content-Length that is not the body's; `reset`: hang up instead of answering."""

    status: int = 200
    body: bytes = COPIED
    headers: dict[str, str] = field(default_factory=dict)
    announced: int | None = None
    reset: bool = False


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    port: int
    body: bytes = b""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


class Stub:
    """The running server: `answer(seen)` says what each request gets; `seen` is what came."""

    def __init__(self, answer: Callable[[Seen], Scripted]) -> None:
        self.seen: list[Seen] = []
        self.answer = answer
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def serve(self) -> None:
                body = self.rfile.read(
                    int(self.headers.get("Content-Length") or 0)
                )  # or the next request would begin with it
                headers = {k.lower(): v for k, v in self.headers.items()}
                request = Seen(self.command, self.path, headers, self.client_address[1], body)
                stub.seen.append(request)
                reply = stub.answer(request)
                if reply.reset:
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in reply.headers:
                    self.send_header("Content-Length", str(reply.announced or len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)
                self.close_connection = self.close_connection or reply.announced is not None

            do_PUT = do_GET = do_HEAD = do_POST = do_DELETE = do_CONNECT = serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def serving(answer: Callable[[Seen], Scripted]) -> Iterator[Stub]:
    """A stub that answers by a function; STS is asked there, too."""
    stub = Stub(answer)
    thread = threading.Thread(target=stub.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_STS", stub.url)
            yield stub
    finally:
        stub.server.shutdown()
        stub.server.server_close()
        thread.join()


@contextmanager
def script(*replies: Scripted) -> Iterator[Stub]:
    """A stub that answers with these replies in turn, and with the last one for ever."""
    left = list(replies)
    with serving(lambda _: left.pop(0) if len(left) > 1 else left[0]) as stub:
        yield stub
