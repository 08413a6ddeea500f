"""The shared fixtures give what they promise: real servers, fresh databases and buckets, an IAM user."""

from __future__ import annotations

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError

from rehouse.config import Settings
from rehouse.s3.session import Session
from rehouse.sandbox.s3_server import S3Server


def test_an_empty_database_is_empty(empty_database: str) -> None:
    with psycopg.connect(empty_database) as connection:
        count = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert count == (0,)


@pytest.mark.parametrize(
    ("fixture", "kind"),
    [("application_database", "integer"), ("application_database_uuid", "uuid"), ("older_tool_database", "integer")],
)
def test_an_application_database_has_its_type_of_ids(request: pytest.FixtureRequest, fixture: str, kind: str) -> None:
    with psycopg.connect(request.getfixturevalue(fixture)) as connection:
        rows = connection.execute(
            "SELECT DISTINCT data_type FROM information_schema.columns"
            " WHERE (table_name, column_name) IN (('tenants', 'id'), ('documents', 'tenant_id'))"
        ).fetchall()
    assert rows == [(kind,)]


def test_the_older_trigger_recounts(older_tool_database: str) -> None:
    with psycopg.connect(older_tool_database) as connection:
        connection.execute("INSERT INTO tenants (name, slug) VALUES ('A', 'a')")
        for number in range(2):
            connection.execute(
                "INSERT INTO documents (id, tenant_id, original_name, filename, size)"
                " SELECT %s, id, 'n', 'n', 1048576 FROM tenants",
                [str(number)],
            )
        usage = connection.execute("SELECT documents_count, storage_used_mb FROM tenant_usage").fetchall()
    assert usage == [(2, 2)]


def test_the_storage_user_is_an_iam_user(storage_settings: Settings, bucket: str) -> None:
    session = Session(storage_settings)
    session.client("s3").put_object(Bucket=bucket, Key="k", Body=b"x")
    assert session.client("sts").get_caller_identity()["Arn"].endswith(":user/tests")


def test_a_wrong_signature_and_a_missing_right_are_refused(s3_server: S3Server, bucket: str) -> None:
    before = boto3.DEFAULT_SESSION
    access_key, secret_key = s3_server.user("rightless", {})
    with pytest.raises(ClientError, match="AccessDenied"):
        s3_server.client_of(access_key, secret_key).put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3_server.client_of(access_key, "wrong").put_object(Bucket=bucket, Key="k", Body=b"x")
    assert boto3.DEFAULT_SESSION is before  # its clients are made from sessions of their own
