"""Credentials are fetched ahead, off the loop's thread, and the server's clock wins."""

import threading
from datetime import UTC, datetime

import pytest

from rehouse.core.errors import StorageRefused
from rehouse.s3.bulk import clock_and_credentials
from rehouse.s3.bulk.clock_and_credentials import Identity
from rehouse.s3.session import Credentials

FIRST, SECOND = Credentials("A", "a", None), Credentials("B", "b", "t")


class Chain:
    """A credential chain that can be made to block or to fail."""

    def __init__(self):
        self.given = FIRST
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()
        self.error = None

    def credentials(self):
        self.asked.set()
        assert self.open.wait(10)
        if self.error:
            raise self.error
        return self.given


def wait_for_renewal():
    for thread in threading.enumerate():
        if thread.name == "credentials":
            thread.join(10)


def test_fresh_ones_are_fetched_while_the_old_ones_are_used(monkeypatch):
    monkeypatch.setattr(clock_and_credentials, "KEPT_SECONDS", -1.0)
    chain = Chain()
    signer = Identity(chain)
    assert signer.credentials() == FIRST
    chain.given = SECOND
    chain.open.clear()
    chain.asked.clear()
    assert signer.credentials() == FIRST
    assert chain.asked.wait(10)
    assert signer.credentials() == FIRST
    chain.open.set()
    wait_for_renewal()
    monkeypatch.setattr(clock_and_credentials, "KEPT_SECONDS", 1000.0)
    assert signer.credentials() == SECOND


def test_an_early_failed_refresh_keeps_the_old_credentials(monkeypatch):
    monkeypatch.setattr(clock_and_credentials, "KEPT_SECONDS", -1.0)
    chain = Chain()
    signer = Identity(chain)
    signer.credentials()
    chain.error = StorageRefused("the sign-on expired", hint="sign on again", code="CredentialRetrievalError")
    assert signer.credentials() == FIRST
    wait_for_renewal()
    assert signer.credentials() == FIRST
    wait_for_renewal()
    with pytest.raises(StorageRefused) as refusal:
        signer.renew()
    assert refusal.value.hint


def test_the_servers_clock_wins():
    signer = Identity(Chain(), clock=lambda: 1000.0)
    server = datetime.fromtimestamp(9000, UTC)
    assert signer.is_skewed(server)
    signer.learn(server)
    assert signer.now() == 9000.0
    assert not signer.is_skewed(server)
    signer.learn(None)
    assert signer.now() == 9000.0
