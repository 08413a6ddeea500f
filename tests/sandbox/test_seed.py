"""The sample arrives in the real servers as it was planned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Literal

import psycopg
import pytest

from rehouse.sandbox.s3_server import S3Server
from rehouse.sandbox.seed import lay_out

NewDatabase = Callable[[str | None], str]


@pytest.mark.parametrize(("tenant_id", "older_tool"), [("integer", False), ("uuid", False), ("uuid", True)])
def test_the_rows_arrive(
    new_database: NewDatabase, s3_server: S3Server, tenant_id: Literal["integer", "uuid"], older_tool: bool
) -> None:
    bucket = f"shared-{tenant_id}-{older_tool}".lower()
    url = new_database(None)
    sample = lay_out(url, s3_server.root(), tenant_id=tenant_id, older_tool=older_tool, shared_bucket=bucket)
    with psycopg.connect(url) as connection:
        tenants = connection.execute(
            'SELECT id, slug, name, aws_bucket_name, is_active FROM tenants ORDER BY slug COLLATE "C"'
        ).fetchall()
        rows = connection.execute(
            "SELECT d.id, t.slug, original_name, s3_bucket, s3_key, etag, mimetype, size, file_size, uploaded_at"
            " FROM documents d LEFT JOIN tenants t ON t.id = d.tenant_id"
        ).fetchall()
        claims = connection.execute("SELECT to_regclass('s3_migrations') IS NOT NULL").fetchone()
        kind = connection.execute("SELECT pg_typeof(id)::text FROM tenants LIMIT 1").fetchone()
        new = connection.execute("INSERT INTO tenants (name, slug) VALUES ('New', 'new') RETURNING id").fetchone()
    assert kind == (tenant_id,)
    assert [(str(row[0]), *row[1:]) for row in tenants] == sorted(
        ((str(each.id), *astuple(each)[1:]) for each in sample.tenants), key=lambda row: row[1]
    )
    assert set(rows) == {astuple(row) for row in sample.rows}
    assert claims == (older_tool,)
    assert new is not None


def test_the_objects_arrive(new_database: NewDatabase, s3_server: S3Server) -> None:
    client = s3_server.root()
    sample = lay_out(new_database(None), client, shared_bucket="shared-objects")
    listed = [
        entry
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="shared-objects")
        for entry in page.get("Contents", [])
    ]
    assert {entry["Key"] for entry in listed} == {each.key for each in sample.objects}
    etags = {entry["Key"]: entry["ETag"].strip('"') for entry in listed}
    for each in sample.objects:
        got = client.get_object(Bucket=each.bucket, Key=each.key)
        assert got["Body"].read() == each.body
        assert {name: got.get(name) for name in each.headers} == dict(each.headers)
        assert got["Metadata"] == each.metadata
        tagged = client.get_object_tagging(Bucket=each.bucket, Key=each.key)["TagSet"] if each.tags else []
        assert {tag["Key"]: tag["Value"] for tag in tagged} == each.tags
        in_parts = len(each.body) > 5 * 1024**2
        assert etags[each.key].endswith("-2") if in_parts else etags[each.key] == each.etag


def test_what_the_older_tool_claims(new_database: NewDatabase, s3_server: S3Server) -> None:
    url = new_database(None)
    lay_out(url, s3_server.root(), older_tool=True, shared_bucket="shared-older")
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT slug, status FROM s3_migrations m JOIN tenants t ON t.id = m.tenant_id ORDER BY started_at"
        ).fetchall()
        usage = connection.execute(
            "SELECT count(*) FROM tenant_usage WHERE month = date_trunc('month', CURRENT_DATE)"
        ).fetchone()
    assert rows == [
        ("acme-corp", "completed"),
        ("globex", "failed"),
        ("globex", "in_progress"),
        ("default-org", "completed"),
    ]
    assert usage == (7,)
