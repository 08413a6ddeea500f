"""`rehouse sandbox`: what it prints makes other programs work in another shell."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from tests.support.running_sandbox import COMMAND, RunningSandbox

from rehouse.cli.commands.sandbox import UPLOAD, next_steps
from rehouse.cli.main import main
from rehouse.sandbox.account import private_folder
from rehouse.sandbox.sample import SHARED_BUCKET
from rehouse.sandbox.servers import Sandbox

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
    application.get_bucket_policy(Bucket=bucket)
except ClientError as error:
    print(error.response["Error"]["Code"])
"""


OWN_ROOM = """
import json, subprocess, sys
import boto3, os, psycopg

administrator = boto3.Session(profile_name="administrator")
storage, iam = administrator.client("s3"), administrator.client("iam")
with psycopg.connect("service=administrator", autocommit=True) as connection:
    connection.execute("CREATE DATABASE mine OWNER dataroom")
storage.create_bucket(Bucket="my-bucket")
storage.put_object(Bucket="my-bucket", Key="a.txt", Body=b"abc")
os.environ["DATABASE_URL"] = os.environ["DATABASE_URL"].rpartition("/")[0] + "/mine"
os.environ |= {"REHOUSE_SHARED_BUCKET": "my-bucket", "REHOUSE_BUCKET_PREFIX": "mine"}
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute(
        "CREATE TABLE tenants (id int PRIMARY KEY, name text, slug text, is_active bool, aws_bucket_name text)"
    )
    connection.execute(
        "CREATE TABLE documents (id text PRIMARY KEY, tenant_id int, original_name text, size int, s3_bucket text, s3_key text)"
    )
    connection.execute("INSERT INTO tenants VALUES (1, 'Acme', 'acme', true)")
    connection.execute("INSERT INTO documents VALUES ('d1', 1, 'a.txt', 3, NULL, 'a.txt')")

def rehouse(*words):
    return subprocess.run([sys.executable, "-m", "rehouse", *words], capture_output=True, text=True)

policies = json.loads(rehouse("iam-policy", "--role", "provision", "--role", "migrate").stdout)
for name, document in policies.items():
    iam.put_user_policy(UserName="rehouse", PolicyName=f"mine-{name}", PolicyDocument=json.dumps(document))
done = rehouse("migrate", "acme")
print(done.returncode, done.stdout, done.stderr)
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    home, key = connection.execute("SELECT s3_bucket, s3_key FROM documents").fetchone()
print(home, storage.get_object(Bucket=home, Key=key)["Body"].read())
"""
ASK_EMPTY = """
import boto3, os, psycopg

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    print(connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()[0])
    connection.execute("CREATE TABLE mine (id int)")
administrator = boto3.Session(profile_name="administrator").client("s3")
print([each["Name"] for each in administrator.list_buckets()["Buckets"]])
bucket = os.environ["REHOUSE_SHARED_BUCKET"]
print(administrator.list_objects_v2(Bucket=bucket)["KeyCount"])
boto3.Session(profile_name="application").client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")
print(boto3.client("s3").get_object(Bucket=bucket, Key="a")["ContentLength"])
"""


FILL = f"""
import boto3, os, pathlib, shlex, subprocess, sys
from rehouse.cli.commands.sandbox import UPLOAD

psql = os.environ["PATH"].rpartition(":")[2] + "/psql"
pathlib.Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).with_name("tables.sql").write_text("CREATE TABLE tenants AS SELECT 1")
tables = str(pathlib.Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).with_name("tables.sql"))
subprocess.run([psql, "-X", "-q", os.environ["DATABASE_URL"], "-f", tables], check=True)
print(subprocess.check_output([psql, "-X", "-t", "-A", os.environ["DATABASE_URL"], "-c", "TABLE tenants"], text=True).strip())
pathlib.Path(tables).write_text("three")
place = " ".join(map(shlex.quote, (tables, "{SHARED_BUCKET}", "k/three")))
subprocess.run(f"{{shlex.quote(sys.executable)}} {{UPLOAD}} {{place}}", shell=True, check=True)
print(boto3.client("s3").get_object(Bucket="{SHARED_BUCKET}", Key="k/three")["Body"].read())
"""


@pytest.fixture(scope="module")
def running(servers_folder: Path) -> Iterator[RunningSandbox]:
    folder = private_folder(servers_folder / "command")
    started = RunningSandbox("--folder", str(folder), "--tenant-id", "uuid", "--older-tool", "--role", "rollback")
    yield started
    started.process.terminate()
    assert started.process.wait(20) == 0
    assert list(folder.iterdir()) == []  # the folder was there before: it stays


def in_another_shell(running: RunningSandbox, code: str) -> list[str]:
    """Return the lines that Python code prints in a shell which has sourced the file `environment`."""
    done = subprocess.run(
        ["sh", "-c", '. "$0" && exec "$1" -c "$2"', str(running.folder / "environment"), sys.executable, code],
        env={"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "stale"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_file_makes_another_shell_work(running: RunningSandbox) -> None:
    assert str(running.folder / "environment") in running.said()
    assert in_another_shell(running, ASK) == [
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
    for name in ("environment", "credentials", "pg_service.conf"):
        assert stat.S_IMODE((running.folder / name).stat().st_mode) == 0o600
    secrets = [running.environment[name] for name in ("AWS_SECRET_ACCESS_KEY", "DATABASE_URL")]
    assert not any(secret in running.said() for secret in secrets)


def test_an_administrator_makes_a_database_and_a_bucket(running: RunningSandbox) -> None:
    [migrated, *_, document] = in_another_shell(running, OWN_ROOM)
    assert migrated.startswith("0 "), migrated
    assert document.startswith("mine-acme-")
    assert document.endswith(" b'abc'")


def test_progress_is_on_stderr_line_by_line(running: RunningSandbox) -> None:
    said = running.said().splitlines()
    assert said[:3] == [f"Starting PostgreSQL in {running.folder}", "Starting the S3 server", "Adding the sample data"]
    assert re.fullmatch(r"Ready after \d+\.\d s", said[3])
    assert "\r" not in running.said()
    assert "\x1b" not in running.said()
    assert all(line.startswith(("unset ", "export ")) for line in running.lines)


def test_an_empty_sandbox_has_places_and_users_alone(servers_folder: Path) -> None:
    running = RunningSandbox("--empty", "--folder", str(servers_folder / "empty"))
    assert in_another_shell(running, ASK_EMPTY) == ["0", f"['{SHARED_BUCKET}']", "0", "1"]
    assert "Adding the sample data" not in running.said()
    assert in_another_shell(running, FILL) == ["1", "b'three'"]
    running.process.terminate()
    assert running.process.wait(20) == 0
    assert running.said().splitlines()[-2:] == [
        "Stopping the S3 server and PostgreSQL",
        "Stopped; the files are removed",
    ]


@pytest.mark.parametrize("has_aws", [True, False])
def test_the_way_to_fill_it_needs_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_aws: bool) -> None:
    if has_aws:
        (tmp_path / "aws").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    steps = next_steps(Sandbox({}, folder=tmp_path / "new", empty=True))
    assert '  psql "$DATABASE_URL" -f TABLES.sql\n' in steps
    uploads = f"aws --profile administrator s3 cp --recursive FOLDER s3://{SHARED_BUCKET}/"
    assert (uploads in steps, UPLOAD in steps) == (has_aws, not has_aws)


@pytest.mark.parametrize("option", [["--older-tool"], ["--tenant-id", "uuid"]])
def test_options_of_the_sample_do_not_go_with_empty(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sandbox", "--empty", *option]) == 2
    assert f"{option[0]} changes the sample data" in capsys.readouterr().err


def test_a_folder_that_is_in_use_is_refused(running: RunningSandbox, tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    for folder in (tmp_path, tmp_path / "something", running.folder):
        command = [sys.executable, *COMMAND, "--folder", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert f"{folder} is not an empty folder" in done.stderr.replace("\n", "")
    assert (tmp_path / "something").exists()
