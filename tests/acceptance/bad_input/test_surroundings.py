"""What stands between us and the servers: an expired token, a pooler, row security; and a log whose disk fills up."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.support.bad_input import EVERY, WRONG, assert_refused, run_here, secrets_of
from tests.support.data_room import Room
from tests.support.s3_stub import Scripted, Seen, error, serving

from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.process import free_port

pytestmark = pytest.mark.not_on_ceph(
    "a pooler and row security are the database's affair; an expired token is played by a stub"
)

IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::000000000000:assumed-role/r/s</Arn><UserId>AROA:s</UserId><Account>000000000000</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
EXPIRED_FOR_STS = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>"""


@pytest.mark.parametrize(
    ("sts", "command"), [(False, ("migrate", "acme-corp")), (True, ("plan",)), (True, ("verify-all",))]
)
def test_an_expired_token_is_refused_wherever_it_is_noticed(room: Room, sts: bool, command: tuple[str, ...]) -> None:
    """S3 servers at hand expire no token, so AWS's own answers are played: by STS at once, or by S3 in the middle."""

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(200, IDENTITY) if sts else Scripted(403, EXPIRED_FOR_STS)
        return Scripted(400, error("ExpiredToken", "The provided token has expired."))

    with serving(answer) as endpoint:
        elsewhere = {"AWS_ENDPOINT_URL_S3": endpoint.url, "AWS_ENDPOINT_URL": endpoint.url, "AWS_SESSION_TOKEN": WRONG}
        assert_refused(room, room.run(*command, **elsewhere), "ExpiredToken", "renew the credentials")


@pytest.fixture
def pooled(small_room: Room, servers_folder: Path) -> Iterator[str]:
    """The room's database behind a pooler in transaction mode."""
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed here")
    port, folder = free_port(), servers_folder / "transaction-pooler"
    folder.mkdir()
    parts = psycopg.conninfo.conninfo_to_dict(small_room.url)
    told = " ".join(f"{name}={parts[name]}" for name in ("host", "port", "dbname", "user", "password"))
    lines = ["[databases]", f"pooled = {told}", "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}"]
    settings = folder / "pgbouncer.ini"
    settings.touch(mode=0o600)
    settings.write_text("\n".join([*lines, "auth_type = any", "pool_mode = transaction", "unix_socket_dir =", ""]))
    identity = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    if identity:
        os.chown(folder, 65534, 65534)
        os.chown(settings, 65534, 65534)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([binary, "-q", str(settings)], **silent, **identity)
    try:
        yield _answering(f"postgresql://postgres@127.0.0.1:{port}/pooled")
    finally:
        server.terminate()
        server.wait(10)


def _answering(url: str) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return url
    raise AssertionError("the pooler does not answer")


def test_a_pooler_in_between_is_refused(room: Room, pooled: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert_refused(room, room.run("migrate", "acme-corp", DATABASE_URL=pooled), "pooler", "own port")
    for arguments in EVERY:
        assert_refused(room, run_here(room, arguments, {"DATABASE_URL": pooled}, capfd), "pooler")
    assert '"failed"' in run_here(room, ("doctor", "--output", "json"), {"DATABASE_URL": pooled}, capfd).stdout


@pytest.fixture
def blind(small_room: Room, postgres: PostgresServer) -> Iterator[str]:
    """The room's database for a role with every right, from which row security hides every document."""
    database = small_room.url.rpartition("/")[2]
    role = f"blind_{database}"
    postgres.role(role)
    small_room.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    small_room.execute(f"GRANT ALL ON SCHEMA public TO {role}")
    small_room.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY")
    yield postgres.url(database, role)
    small_room.execute("ALTER TABLE documents DISABLE ROW LEVEL SECURITY")
    small_room.execute(f"DROP OWNED BY {role}")
    small_room.execute(f"DROP ROLE {role}")


def test_a_role_that_row_security_blinds_is_refused(room: Room, blind: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert_refused(room, room.run("migrate", "acme-corp", DATABASE_URL=blind), "row security", "BYPASSRLS")
    for arguments in EVERY:
        assert_refused(room, run_here(room, arguments, {"DATABASE_URL": blind}, capfd), "row security")
    assert '"failed"' in run_here(room, ("doctor", "--output", "json"), {"DATABASE_URL": blind}, capfd).stdout


def test_a_log_that_fills_up_does_not_stop_the_run(new_room: Callable[..., Room], tmp_path: Path) -> None:
    small = new_room("integer")
    small.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'acme', 'acme')")
    log = tmp_path / "rehouse.log"
    # No file of the process may grow beyond 1,024 bytes: the log's first line fits, the second does not.
    command = f"ulimit -f 1; truncate -s 990 {log}; exec {sys.executable} -B -m rehouse migrate acme"
    environment = small.environment() | {"REHOUSE_LOG_FILE": str(log)}
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the log can no longer be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "rehouse " in log.read_text().replace("\0", "")


def test_the_log_is_its_owners_alone_and_holds_no_secret(room: Room, tmp_path: Path) -> None:
    log = tmp_path / "rehouse.log"
    done = room.run("status", "nobody", REHOUSE_LOG_FILE=str(log))
    assert_refused(room, done, "nobody")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    told = log.read_text()
    assert "there is no tenant 'nobody'" in told
    assert not any(secret in told for secret in secrets_of(room))
