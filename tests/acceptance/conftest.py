"""The rooms of the acceptance tests, on the server of `--s3-server`; and the sample, migrated once for each kind of database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support.ceph import CephServer
from tests.support.data_room import Room
from tests.support.rooms import KINDS, Kind, Migrated, migrate, rooms_on, sample_on

from rehouse.sandbox.s3_server import S3Server

new_room = pytest.fixture(rooms_on, scope="session", name="new_room")
sample_room = pytest.fixture(sample_on, scope="session", name="sample_room")


@pytest.fixture(scope="session", params=KINDS)
def migrated(
    request: pytest.FixtureRequest, sample_room: Callable[[Kind], Room], s3_server: S3Server | CephServer
) -> Migrated:
    """The sample, migrated. For tests that only look."""
    if isinstance(s3_server, CephServer) and request.param != KINDS[0]:
        pytest.skip("other kinds of databases are the database's affair: seen with the other server")
    return migrate(sample_room(request.param))
