"""The same worlds on a Ceph object gateway, where its programs are installed; else every test here is skipped and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.acceptance.conftest import Kind, Migrated, migrate, sample_on, worlds_on
from tests.support.ceph import CephServer, missing
from tests.support.command import World

from rehouse.sandbox.postgres import PostgresServer

SETTINGS = {"REHOUSE_S3_DIALECT": "ceph"}


@pytest.fixture(scope="session")
def s3_server(servers_folder: Path) -> Iterator[CephServer]:
    """A running gateway."""
    if absent := missing():
        pytest.skip(
            f"Ceph is not installed (no {', '.join(absent)}; Debian: apt-get install ceph-mon ceph-osd radosgw)"
        )
    with CephServer(servers_folder / "ceph") as server:
        yield server


@pytest.fixture(autouse=True)
def no_other_sts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no other server's STS: another test of the same process may have named it."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_STS", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL_IAM", raising=False)


def worlds_on_ceph(
    postgres: PostgresServer, s3_server: CephServer, templates: Callable[[str], str]
) -> Iterator[Callable[..., World]]:
    """Yield a function that makes an empty world, with the settings that this server needs."""
    for make in worlds_on(postgres, s3_server, templates):  # type: ignore[arg-type]

        def make_here(*arguments: object, make: Callable[..., World] = make, **more: object) -> World:
            world = make(*arguments, **more)
            world.more |= SETTINGS
            return world

        yield make_here


new_world = pytest.fixture(worlds_on_ceph, scope="session", name="new_world")
sample_world = pytest.fixture(sample_on, scope="session", name="sample_world")


@pytest.fixture(scope="session")
def migrated(sample_world: Callable[[Kind], World]) -> Migrated:
    """The sample, migrated. For tests that only look."""
    return migrate(sample_world("integer"))
