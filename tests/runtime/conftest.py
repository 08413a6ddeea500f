"""What the tests of the application's storage share: a data room with the ledger's tables, and a storage on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from tests.support.application_role import make_application_role
from tests.support.data_room import Room

from rehouse.operations import init as initialising
from rehouse.runtime.handle import TenantHandle
from rehouse.runtime.storage import TenantStorage


@pytest.fixture
def room(application_database, bucket, s3_server, storage_settings) -> Iterator[Room]:
    """A database with the ledger's tables, a shared bucket, and the tenant `acme`."""
    made = Room(application_database, bucket, s3_server, storage_settings)
    made.tenant("acme")
    initialising.initialise(made.settings)
    yield made
    made.close()


@pytest.fixture
def storage(room) -> Iterator[TenantStorage]:
    """A storage with a pool of its own, which works with the rights of the application's role and no others."""
    settings = room.settings.model_copy(
        update={"database_url": SecretStr(make_application_role(room.url, room.settings.mapping))}
    )
    with TenantStorage.open(settings) as opened:
        yield opened


@pytest.fixture
def acme(storage) -> TenantHandle:
    """The handle of `acme`."""
    return storage.for_tenant("acme")
