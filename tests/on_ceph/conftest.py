"""Worlds on a Ceph object gateway, for what only it does; all of tests/acceptance runs on it with `--s3-server ceph`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.ceph import CephServer, running_gateway
from tests.support.rooms import rooms_on

new_room = pytest.fixture(rooms_on, scope="session", name="new_room")


@pytest.fixture(scope="session")
def s3_server(servers_folder: Path) -> Iterator[CephServer]:
    """A running gateway."""
    with running_gateway(servers_folder) as server:
        yield server


@pytest.fixture(autouse=True)
def no_other_sts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no other server's STS: another test of the same process may have named it."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_IAM", raising=False)
