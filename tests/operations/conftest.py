"""A small data room for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.data_room import Room
from tests.support.strict_relay import StrictRelay

from rehouse.config import Settings
from rehouse.sandbox.s3_server import S3Server


@pytest.fixture
def room(application_database: str, bucket: str, s3_server: S3Server, storage_settings: Settings) -> Iterator[Room]:
    """A room with the tenant `acme` and nothing in it."""
    made = Room(application_database, bucket, s3_server, storage_settings)
    made.tenant("acme")
    yield made
    made.close()


@pytest.fixture
def partitioned(room: Room) -> Room:
    """A room whose documents are in partitions of two levels."""
    room.sql("ALTER TABLE documents RENAME TO old")
    room.sql(
        "CREATE TABLE documents (LIKE old INCLUDING DEFAULTS, PRIMARY KEY (tenant_id, id)) PARTITION BY LIST (tenant_id)"
    )
    room.sql("CREATE TABLE first PARTITION OF documents FOR VALUES IN (1) PARTITION BY HASH (id)")
    room.sql("CREATE TABLE first_a PARTITION OF first FOR VALUES WITH (MODULUS 2, REMAINDER 0)")
    room.sql("CREATE TABLE first_b PARTITION OF first FOR VALUES WITH (MODULUS 2, REMAINDER 1)")
    room.sql("CREATE TABLE rest PARTITION OF documents DEFAULT")
    return room


@pytest.fixture
def strict(room: Room) -> Iterator[StrictRelay]:
    """A relay that the room's requests go through, as strict as S3; at the end every one of them has named the owner."""
    with StrictRelay(room.server) as relay:
        room.settings = room.settings.model_copy(update={"endpoint_url": relay.url})
        yield relay
        assert relay.unowned == []
