"""An endpoint over TLS: trusted only with its authority's certificate, and refused with a hint otherwise."""

import ssl

import pytest
from tests.support.s3_stub import Scripted, script

from rehouse.core.errors import StorageRefused


@pytest.fixture
def secure(certificate):
    with script(Scripted()) as stub:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        stub.server.socket = context.wrap_socket(stub.server.socket, server_side=True, do_handshake_on_connect=False)
        stub.url = stub.url.replace("http://", "https://")
        yield stub


def test_an_endpoint_of_a_trusted_authority_is_used(secure, stub_plane, task, certificate, monkeypatch):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate[0]))
    outcomes = list(stub_plane(secure.url).copy(task(number) for number in range(20)))
    assert [outcome.fault for outcome in outcomes] == [None] * 20


def test_an_untrusted_one_gets_no_request(secure, stub_plane, task, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    with pytest.raises(StorageRefused) as refusal:
        list(stub_plane(secure.url).copy([task()]))
    assert refusal.value.code == "CertificateError"
    assert "AWS_CA_BUNDLE" in refusal.value.hint
    assert secure.seen == []
