"""No secret gets out: a password, a secret key and a session token that are marked are looked for in whatever a run leaves.

Looked through are standard output and error, the log, the JSON, every table of the database, the arguments of every process
while it runs and the files that were written; in runs that end well and in runs that fail in every way.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql
from tests.conftest import EVERYTHING
from tests.support.data_room import SERIAL, Room
from tests.support.faults import KINDS, Strike
from tests.support.sampling import LONG_SAMPLE
from tests.support.scenes import lay_out

PASSWORD = "MARKED-pass'w\"o%r/d@:?#"
TOKEN = "MARKEDtoken/+=="
LIFE = (
    ("init",), ("config",), ("doctor",), ("iam-policy",), ("plan",), ("migrate", "a", "--dry-run"), ("migrate", "a"),
    ("verify", "a", "--deep"),
    ("status", "a"), ("status", "--errors"), ("audit",), ("rollback", "a"), ("migrate-all",), ("cutover", "a"),
    ("finish", "a", "--after", "0", "--yes"),
    ("cleanup",), ("verify-all",),
)  # fmt: skip
WITHOUT_JSON = ("init", "config", "iam-policy")


class Vault:
    """A room whose credentials are marked, and the search for them."""

    def __init__(self, room: Room, folder: Path) -> None:
        self.room, self.folder = room, folder
        self.role = f"marked_{room.url.rsplit('/', 1)[1]}".replace("-", "_")
        make = sql.SQL("CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}").format(
            sql.Identifier(self.role), sql.Literal(PASSWORD)
        )
        with psycopg.connect(self.room.url, autocommit=True) as connection:
            connection.execute(make)
        address = urlsplit(self.room.url)
        self.host = f"{address.hostname}:{address.port}{address.path}"
        self.url = f"postgresql://{self.role}:{quote(PASSWORD, safe='')}@{self.host}"
        self.log = folder / "rehouse.log"
        raw = (PASSWORD, TOKEN, self.room.credentials[1])
        self.forms = {form for secret in raw for form in _forms(secret)}

    def remove(self) -> None:
        """Remove the role."""
        with psycopg.connect(self.room.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(self.role)))

    def environment(self) -> dict[str, str]:
        return self.room.environment() | {"DATABASE_URL": self.url, "REHOUSE_LOG_FILE": str(self.log)}

    def found_in(self, text: str) -> list[str]:
        return [form for form in self.forms if form in text]

    def run(self, *arguments: str, status: tuple[int, ...] = (0, 1, 2), **more: str) -> str:
        """Run the command and look through what it printed; return that."""
        ended = self.room.warm.run(*arguments, environment=self.environment() | more)
        assert ended.status in status, ended
        assert self.found_in(ended.printed) == [], f"{arguments}, {list(more)}: {ended.printed}"
        assert "Traceback" not in ended.printed, ended.printed
        return ended.printed

    def nothing_is_left(self) -> None:
        """Look through the log, the files and the database."""
        for file in self.folder.rglob("*"):
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
            assert self.found_in(file.read_text()) == [], file
        for name, rows in self.tables():
            assert self.found_in(rows) == [], name

    def tables(self) -> Iterator[tuple[str, str]]:
        """Yield every table of the database, what is in it as text."""
        with psycopg.connect(self.room.url) as connection:
            query = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
            for names in connection.execute(query).fetchall():
                rows = connection.execute(
                    sql.SQL("SELECT to_json(t)::text FROM {} t").format(sql.Identifier(*names))
                ).fetchall()
                yield names[1], "\n".join(row[0] for row in rows)


def _forms(secret: str) -> Iterator[str]:
    yield from (secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1])
    yield base64.b64encode(secret.encode()).decode()


@pytest.fixture
def vault(new_room: Callable[..., Room], tmp_path: Path) -> Iterator[Vault]:
    """A room that was laid out, and a folder that everybody may write into."""
    made = Vault(new_room(), tmp_path)
    lay_out(made.room)
    before = os.umask(0)
    yield made
    os.umask(before)
    made.remove()


@pytest.mark.long
@pytest.mark.sample
def test_a_whole_life_tells_no_secret(vault: Vault) -> None:
    for command in LIFE:
        vault.run(*command)
        if command[0] not in WITHOUT_JSON:
            vault.run(*command, "--output", "json")
    assert vault.room.rows("SELECT phase FROM s3_migrations") == [("finished",)]
    assert vault.log.stat().st_size
    assert dict(vault.tables())["s3_migration_events"]
    vault.nothing_is_left()


@pytest.mark.long
def test_temporary_credentials_are_not_told(vault: Vault) -> None:
    found = assumed(vault)
    vault.forms |= {form for name in ("SecretAccessKey", "SessionToken") for form in _forms(found[name])}
    more = {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }
    for command in LIFE:
        vault.run(*command, **more)
    assert vault.room.rows("SELECT phase FROM s3_migrations") == [("finished",)]
    vault.nothing_is_left()


def assumed(vault: Vault) -> dict[str, str]:
    """Return the credentials of a role that may do everything."""
    iam, sts, name = vault.room.server.root("iam"), vault.room.server.root("sts"), vault.role
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(EVERYTHING["everything"]))
    return dict(sts.assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="marked")["Credentials"])


def test_the_look_finds_what_is_there(vault: Vault) -> None:
    for form in (PASSWORD, quote(PASSWORD, safe=""), vault.room.credentials[1]):
        assert vault.found_in(f"could not connect to {form}")
    vault.room.execute("UPDATE documents SET original_name = %s", PASSWORD)
    with pytest.raises(AssertionError, match="documents"):
        vault.nothing_is_left()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody:{password}@{host}",
        "postgresql://{role}:{password}wrong@{host}",
        "postgresql://{role}:{password}@127.0.0.1:1/x",
        "postgresql://{role}:{password}@{host}-not-there",
        "postgresql://{role}:{password}@host.invalid/x",
        "postgresql://{role}:{password}@127.0.0.1:notaport/x",
        "postgresql://{role}:{raw}@{host}",
        "postgres//{role}:{password}@{host}",
        "{password}",
        "mysql://{role}:{password}@{host}",
        "host=127.0.0.1 port=1 user={role} password={password}",
        "host=127.0.0.1 port=1 user={role} password='{raw}",
        "postgresql://{role}:{password}@{host}?sslmode=none&password={password}",
        "postgresql://{role}:{password}@[::1/x",
        "postgresql://{role}:{password}@{host}?options=-c%20nonsense={password}",
    ],
)
def test_a_database_that_cannot_be_reached_tells_no_password(vault: Vault, url: str) -> None:
    asked = url.format(role=vault.role, password=quote(PASSWORD, safe=""), raw=PASSWORD, host=vault.host)
    for command in ("init", "doctor", "migrate-all", "status", "config"):
        vault.run(command, DATABASE_URL=asked)
    vault.nothing_is_left()


@pytest.mark.parametrize(
    "more",
    [
        {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"},
        pytest.param({"AWS_ENDPOINT_URL_S3": "https://host.invalid"}, marks=LONG_SAMPLE),
        {"AWS_ENDPOINT_URL_S3": f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:1"},
        {"HTTP_PROXY": f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:1",
            "http_proxy": f"http://user:{quote(PASSWORD, safe='')}@127.0.0.1:1", "NO_PROXY": ""},
        {"AWS_SESSION_TOKEN": TOKEN},
        {"AWS_SESSION_TOKEN": f"{TOKEN}\n"},
        {"AWS_ACCESS_KEY_ID": "AKIANOBODY"},
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": TOKEN},
        {"AWS_SECRET_ACCESS_KEY": f"{TOKEN}\r\n"},
        {"AWS_ACCESS_KEY_ID": TOKEN, "AWS_SECRET_ACCESS_KEY": ""},
        {"REHOUSE_DATABASE_URLS": PASSWORD},
    ],
    ids=lambda more: " ".join(f"{name}-{len(value)}" for name, value in more.items()),
)  # fmt: skip
def test_a_storage_that_cannot_be_reached_tells_no_key(vault: Vault, more: dict[str, str]) -> None:
    for command in (("doctor",), ("migrate-all",), ("status",), ("config",), ("iam-policy",)):
        vault.run(*command, **more)
    vault.nothing_is_left()


def test_a_file_of_settings_that_is_wrong_tells_no_password(vault: Vault) -> None:
    file = vault.folder / "rehouse.toml"
    file.touch(mode=0o600)
    for line in (f"database_url = {{ password = {json.dumps(PASSWORD)} }}",
        f"database_urls = {json.dumps(PASSWORD)}", f"database_url = [{json.dumps(PASSWORD)}]",
                 f"database_url = {json.dumps(PASSWORD)}\nx", f"database_url = {PASSWORD}"):  # fmt: skip
        file.write_text(line)
        told = vault.run("config", status=(2,), REHOUSE_CONFIG=str(file), DATABASE_URL="")
        assert "Hint: " in told


@pytest.mark.long
def test_faults_on_the_way_tell_no_secret(vault: Vault) -> None:
    vault.run("init", status=(0,))
    relay = {
        "AWS_ENDPOINT_URL_S3": vault.room.storage.url,
        "AWS_ENDPOINT_URL": vault.room.storage.url,
        "REHOUSE_MAX_IN_FLIGHT": "2",
    }
    for kind in KINDS:
        if kind.name.startswith(("400", "403", "301", "answer", "200")):
            Strike(kind, None, share=0.3, seed=1).on(vault.room.storage)
            vault.run("migrate", "a", **relay)
            vault.room.storage.before, vault.room.storage.after = (
                (lambda request: None),
                (lambda request, reply: reply),
            )
    vault.run("migrate", "a", status=(0,), **relay)
    vault.nothing_is_left()


def test_no_process_is_started_with_a_secret(vault: Vault) -> None:
    """A real process of its own, looked at all the time: its own arguments and those of whatever it starts."""
    arguments = [sys.executable, "-m", "rehouse", "migrate", "a"]
    process = subprocess.Popen(
        arguments, env=vault.environment(), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen: set[str] = set()
    while process.poll() is None:
        seen |= set(_command_lines(process.pid))
        time.sleep(0.01)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    assert any("rehouse" in line for line in seen)
    assert vault.found_in(printed + "\n".join(seen)) == []


def _command_lines(pid: int) -> Iterator[str]:
    """Yield the arguments of a process and of its children."""
    try:
        yield Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _command_lines(int(child))


def test_nothing_that_is_written_may_be_read_by_others(vault: Vault) -> None:
    storage, shared, logs = vault.room.storage, vault.room.shared, vault.room.log_bucket
    relay = SERIAL | {"AWS_ENDPOINT_URL_S3": storage.url, "AWS_ENDPOINT_URL": storage.url}
    for command in (("init",), ("migrate", "a")):
        vault.run(*command, status=(0,), **relay)
    vault.room.overwrite("one", b"at home")
    for command in (("rollback", "a"), ("migrate", "a")):
        vault.run(*command, status=(0,), **relay)
    root = vault.room.server.root()
    (home,) = vault.room.homes()
    grants = [
        grant
        for bucket in (home, shared)
        for key in vault.room.objects(bucket)
        for grant in root.get_object_acl(Bucket=bucket, Key=key)["Grants"]
    ]
    grants += [grant for bucket in (home, logs) for grant in root.get_bucket_acl(Bucket=bucket)["Grants"]]
    assert {grant["Grantee"]["Type"] for grant in grants} == {"CanonicalUser"}
    for bucket in (home, logs):
        assert all(root.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()), bucket
    written = [each for each in storage.seen if each.method in ("PUT", "POST")]
    assert {(each.operation, each.bucket) for each in written} >= {
        ("PUT bucket", home),
        ("PUT bucket", logs),
        ("CopyObject", home),
        ("POST upload", home),
        ("CopyObject", shared),
    }
    heads = [each.head.lower() for each in written]
    assert [head for head in heads if b"x-amz-acl" in head or b"x-amz-grant" in head] == []
