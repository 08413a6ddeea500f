"""`rehouse sandbox`: what it prints makes other programs work in another shell."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.support.running_sandbox import COMMAND, RunningSandbox

from rehouse.sandbox.account import private_folder

ASK = """
import boto3, os, psycopg
from botocore.exceptions import ClientError
from rehouse.config import load

settings = load()
with psycopg.connect(settings.require_database_url()) as connection:
    print(*connection.execute("SELECT count(*), min(pg_typeof(tenant_id)::text) FROM documents").fetchone())
bucket = settings.require_shared_buckets()[0]
print(boto3.client("sts").get_caller_identity()["Arn"], len(boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]))
application = boto3.Session(profile_name=settings.application_profile).client("s3")
print(application.get_object(Bucket=bucket, Key="uploads/what")["ContentLength"] > 0)
try:
    application.list_objects_v2(Bucket=bucket)
except ClientError as error:
    print(error.response["Error"]["Code"])
"""


@pytest.fixture(scope="module")
def running(servers_folder: Path) -> Iterator[RunningSandbox]:
    folder = private_folder(servers_folder / "command")
    started = RunningSandbox("--folder", str(folder), "--tenant-id", "uuid", "--older-tool", "--role", "rollback")
    yield started
    started.process.terminate()
    assert started.process.wait(20) == 0
    assert list(folder.iterdir()) == []  # the folder was there before: it stays


def test_the_file_makes_another_shell_work(running: RunningSandbox) -> None:
    file = running.folder / "environment"
    assert str(file) in running.said()
    done = subprocess.run(
        ["sh", "-c", '. "$0" && exec "$1" -c "$2"', str(file), sys.executable, ASK],
        env={"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "stale"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "497 uuid",
        "arn:aws:iam::000000000000:user/rehouse 481",
        "True",
        "AccessDenied",
    ]


def test_the_printed_lines_are_those_of_the_file(running: RunningSandbox) -> None:
    assert (running.folder / "environment").read_text() == "".join(running.lines)


def test_a_role_is_added_to_those_of_a_migration(running: RunningSandbox) -> None:
    names = running.environment
    keys = {"aws_access_key_id": names["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": names["AWS_SECRET_ACCESS_KEY"]}
    storage = boto3.client("s3", endpoint_url=names["AWS_ENDPOINT_URL_S3"], region_name=names["AWS_REGION"], **keys)
    place = {"Bucket": names["REHOUSE_SHARED_BUCKET"], "Key": "returned/acme-corp/1/a.txt"}
    storage.put_object(**place, Body=b"the role rollback may")
    with pytest.raises(ClientError, match="AccessDenied"):
        storage.delete_object(**place)


def test_files_with_secrets_are_private(running: RunningSandbox) -> None:
    for name in ("environment", "credentials"):
        assert stat.S_IMODE((running.folder / name).stat().st_mode) == 0o600
    secrets = [running.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "DATABASE_URL")]
    assert not any(secret in running.said() for secret in secrets)


def test_a_folder_that_is_in_use_is_refused(running: RunningSandbox, tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    for folder in (tmp_path, tmp_path / "something", running.folder):
        command = [sys.executable, *COMMAND, "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"{folder} is not an empty folder" in done.stderr.replace("\n", "")
    assert (tmp_path / "something").exists()
