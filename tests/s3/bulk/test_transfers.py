"""What reaches the wire: the request line and the headers that were signed, each once, and nothing of libcurl's own."""

import socket
import threading

import pytest
from tests.support.s3_stub import COPIED

from rehouse.s3.bulk.replies import CopyReply, read_copy
from rehouse.s3.bulk.requests import Request
from rehouse.s3.bulk.signing import sign
from rehouse.s3.bulk.transfers import Transfers
from rehouse.s3.endpoint import Endpoint

REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Amz-Version-Id: v1\r\n\r\n" % len(COPIED)


@pytest.fixture
def raw():
    """A server that answers each request with a finished copy (a HEAD without the body); what came, byte by byte."""
    received: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            while block := connection.recv(65536):
                received.append(block)
                connection.sendall(REPLY if block.startswith(b"HEAD") else REPLY + COPIED)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
    thread.join(5)


@pytest.fixture
def transfers():
    opened = Transfers(4)
    yield opened
    opened.close()


def sent(transfers, request, lines):
    transfers.start(request, lines)
    found = []
    while not found:
        found = transfers.take_finished(1.0)
    assert [finished for finished, _ in found] == [request]
    return found[0][1]


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD"])
@pytest.mark.parametrize("headers", [{"content-length": "0", "if-match": '"two  spaces"'}, {}])
def test_the_signed_headers_are_sent_each_once_and_nothing_else(raw, transfers, method, headers):
    url, received = raw
    place = Endpoint(url, url.removeprefix("http://"), "/bucket/", "bucket", "us-east-1")
    path = place.path + "a/../b%20c"
    lines = sign(method, place.host, path, "", headers, credentials=("a", "s", "t"), region="us-east-1", now=1e9)
    for seconds in (60, 60, 90):  # a handle is used again, with its time and with another
        reply = sent(
            transfers, Request("copy", method, place, path, "", headers, "it", read_copy, None, seconds), lines
        )
        assert (reply.errno, reply.status) == (0, 200)
        assert read_copy(reply) == (None if method == "HEAD" else CopyReply("0123abcd", "v1", None))
    assert len(received) == 3
    for block in received:
        request_line, *found = block.decode().removesuffix("\r\n\r\n").split("\r\n")
        assert request_line == f"{method} {path} HTTP/1.1"
        assert sorted(found) == sorted([*lines, "User-Agent: rehouse"])
