"""Clients over the real server, alone and through a relay that fails on demand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.http_relay import HttpRelay

from rehouse.config import Settings
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server


def no_wait() -> float:
    """Wait nearly nothing before another attempt."""
    return 0.001


@pytest.fixture
def client(storage_settings: Settings) -> Iterator[ObjectClient]:
    """A client of the real server."""
    made = ObjectClient(Session(storage_settings), random=no_wait)
    yield made
    made.close()


@pytest.fixture
def relay(s3_server: S3Server) -> Iterator[HttpRelay]:
    """A relay to the real server."""
    with HttpRelay(s3_server.port) as running:
        yield running


@pytest.fixture
def relayed(storage_settings: Settings, relay: HttpRelay) -> Iterator[ObjectClient]:
    """A client through the relay."""
    session = Session(storage_settings.model_copy(update={"endpoint_url": relay.url}))
    made = ObjectClient(session, random=no_wait)
    yield made
    made.close()
