"""A room that the environment of this process points to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.data_room import Room

from rehouse.config import Settings
from rehouse.sandbox.s3_server import S3Server


@pytest.fixture
def told(
    application_database: str,
    bucket: str,
    s3_server: S3Server,
    storage_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Room]:
    """A room with two documents that the environment of this process points to."""
    room = Room(application_database, bucket, s3_server, storage_settings)
    for name, value in {
        "DATABASE_URL": room.url,
        "REHOUSE_SHARED_BUCKET": room.shared,
        "REHOUSE_BUCKET_PREFIX": room.settings.bucket_prefix,
        "AWS_ENDPOINT_URL": room.settings.endpoint_url or "",
        "AWS_REGION": room.settings.region,
    }.items():
        monkeypatch.setenv(name, value)
    room.documents("a", "b")
    yield room
    room.connection.close()
