"""Through a proxy go both planes or none, as botocore decides it; what is signed reaches S3 as it is."""

from __future__ import annotations

import select
import socket
import ssl
from base64 import b64encode

import pytest
from botocore.exceptions import ClientError
from tests.support.s3_stub import Scripted, script, serving

from rehouse.config import Settings
from rehouse.core.errors import StorageRefused
from rehouse.core.model import ObjectRef
from rehouse.s3.buckets.control import Control
from rehouse.s3.faults import translate_error
from rehouse.s3.session import Session

THERE = "http://s3.internal.example:9000"
PASSWORD = "not@to:be shown"
KEY = "a/./../b//c%2F ü"
PATH = "a/./../b//c%252F%20%C3%BC"


@pytest.fixture
def through(monkeypatch, stub_plane):
    """Return a function that sets the proxy, and makes a plane and a control plane of it."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def make(url=THERE, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return stub_plane(url), Control(Session(Settings(endpoint_url=url)))

    return make


def test_both_planes_take_the_proxy_and_keep_the_signed_path(through, task):
    with script(Scripted()) as proxy:
        plane, control = through(HTTP_PROXY=proxy.url)
        (outcome,) = plane.copy([task(target=ObjectRef("home", KEY))])
        control.client.head_bucket(Bucket="home")
    assert outcome.fault is None
    assert [seen.path for seen in proxy.seen] == [f"{THERE}/home/{PATH}", f"{THERE}/home"]
    assert [seen.headers["host"] for seen in proxy.seen] == ["s3.internal.example:9000"] * 2


@pytest.mark.parametrize("exempt", ["localhost", "elsewhere,.localhost", "*"])
def test_neither_takes_it_to_a_host_that_is_exempt(through, task, exempt):
    with script(Scripted()) as proxy, script(Scripted()) as s3:
        plane, control = through(s3.url.replace("127.0.0.1", "localhost"), HTTP_PROXY=proxy.url, NO_PROXY=exempt)
        assert [outcome.fault for outcome in plane.copy([task()])] == [None]
        control.client.head_bucket(Bucket="home")
    assert (len(proxy.seen), len(s3.seen)) == (0, 2)


def test_a_proxys_password_is_sent_to_it_and_never_shown(through, task):
    answers = iter([Scripted(), Scripted(), Scripted(407, b"<html>who?</html>"), Scripted(407, b"<html>who?</html>")])
    with serving(lambda _: next(answers)) as proxy:
        plane, control = through(HTTP_PROXY=proxy.url.replace("//", "//me:not%40to%3Abe%20shown@"))
        assert [outcome.fault for outcome in plane.copy([task()])] == [None]
        control.client.head_bucket(Bucket="home")
        told = [repr(plane._exchange.endpoint("home")), plane._exchange.endpoint("home").name]
        with pytest.raises(StorageRefused) as refusal:
            list(plane.copy([task()]))
        with pytest.raises(ClientError) as answer:
            control.client.head_bucket(Bucket="home")
    for error in (refusal.value, translate_error(answer.value, "home")):
        assert error.code == "ProxyRefused"
        assert "HTTP_PROXY" in error.hint
        told += [error.message, error.hint]
    said = b64encode(f"me:{PASSWORD}".encode()).decode()
    assert [seen.headers["proxy-authorization"] for seen in proxy.seen] == [f"Basic {said}"] * 4
    assert not any("not%40to" in each or PASSWORD in each or said in each for each in told)


def test_a_missing_proxy_is_named_without_its_password(through, task):
    with script(Scripted()) as gone:
        url = gone.url
    plane, _ = through(HTTP_PROXY=url.replace("//", "//me:not%40to%3Abe%20shown@"))
    with pytest.raises(StorageRefused) as refusal:
        list(plane.copy([task()]))
    assert url.removeprefix("http://") in refusal.value.message
    assert "not%40to" not in refusal.value.message


def test_a_proxy_that_opens_no_tunnel_ends_the_run(through, task):
    with script(Scripted(403, b"<html>no</html>")) as proxy:
        plane, _ = through("https://s3.internal.example", HTTPS_PROXY=proxy.url)
        with pytest.raises(StorageRefused) as refusal:
            list(plane.copy([task()]))
    assert refusal.value.code == "ProxyRefused"
    assert "HTTPS_PROXY" in refusal.value.hint
    assert len(proxy.seen) == 1
    assert {seen.method for seen in proxy.seen} == {"CONNECT"}
    assert not any("authorization" in seen.headers for seen in proxy.seen)


def test_signed_requests_go_through_a_tunnel(through, task, certificate, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with script(Scripted()) as s3, serving(lambda _: Scripted()) as proxy:
        s3.server.socket = context.wrap_socket(s3.server.socket, server_side=True, do_handshake_on_connect=False)
        proxy.server.RequestHandlerClass.do_CONNECT = tunnel_to(s3.server.server_address, proxy.seen)
        plane, control = through("https://localhost", HTTPS_PROXY=proxy.url)
        assert [outcome.fault for outcome in plane.copy([task(1), task(2)])] == [None, None]
        control.client.head_bucket(Bucket="home")
    assert {seen.path for seen in s3.seen} == {"/home/documents/1", "/home/documents/2", "/home"}
    assert proxy.seen
    for headers in proxy.seen:
        assert not {"authorization", "x-amz-security-token"} & {name.lower() for name in headers}


def tunnel_to(address, seen):
    """The handler of CONNECT: bytes to and fro until one side ends."""

    def connect(handler):
        seen.append(dict(handler.headers))
        with socket.create_connection(address) as upstream:
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.flush()
            ends = {handler.connection: upstream, upstream: handler.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    block = end.recv(65536)
                    if not block:
                        handler.close_connection = True
                        return
                    ends[end].sendall(block)

    return connect
