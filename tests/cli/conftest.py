"""Application databases and buckets that the environment of this process points to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from tests.support.data_room import Room

from rehouse.config import Settings
from rehouse.sandbox.s3_server import S3Server


@pytest.fixture
def room(
    application_database: str,
    bucket: str,
    s3_server: S3Server,
    storage_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Room]:
    """A room with two documents that the environment of this process points to."""
    room = Room(application_database, bucket, s3_server, storage_settings)
    room.tenant("acme")
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
    room.close()


@pytest.fixture
def run_sql(
    application_database: str,
    bucket: str,
    s3_server: S3Server,
    storage_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], None]:
    """Two tenants in a bucket, this process's environment pointing there; the function runs SQL."""

    def execute(statement: str) -> None:
        with psycopg.connect(application_database, autocommit=True) as connection:
            connection.execute(statement.encode())

    for number, slug in enumerate(("acme", "globex"), 1):
        s3_server.root().put_object(Bucket=bucket, Key=f"k{number}", Body=b"abc")
        execute(f"INSERT INTO tenants (id, name, slug) VALUES ({number}, '{slug}', '{slug}')")
        execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size)"
            f" VALUES ('d{number}', {number}, 'a', 'a', '{bucket}', 'k{number}', 3)"
        )
    environment = {
        "DATABASE_URL": application_database,
        "REHOUSE_SHARED_BUCKET": bucket,
        "REHOUSE_BUCKET_PREFIX": f"cli-{bucket}",
    }
    environment["AWS_ENDPOINT_URL"] = storage_settings.endpoint_url or ""
    environment["REHOUSE_LOG_BUCKET"] = f"logs-of-{bucket}"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return execute
