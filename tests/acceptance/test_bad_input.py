"""Bad input: exit status 2, a message that names its subject, a hint, no traceback, no secret, and nothing changed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from tests.acceptance.world import World
from tests.s3.stub import Scripted, Seen, error, serving

from rehouse.cli.main import main
from rehouse.sandbox.postgres import PostgresServer
from rehouse.sandbox.process import free_port

WRONG = "not-the-right-secret"
NOWHERE = "http://127.0.0.1:1"
COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"


@pytest.fixture(scope="module")
def world(new_world: Callable[..., World]) -> World:
    """Two tenants with a document each, and no table of ours."""
    made = new_world("integer")
    for number, slug in enumerate(("acme-corp", "globex"), 1):
        made.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        made.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES (%s, %s, 'a', 'a', %s, 3)",
            f"d{number}", number, f"k{number}",
        )  # fmt: skip
        made.server.root().put_object(Bucket=made.shared, Key=f"k{number}", Body=b"abc")
    return made


@pytest.fixture(autouse=True)
def nothing_changes(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to the world: its tables, its rows and the server's buckets are the same afterwards."""
    if "world" not in request.fixturenames:
        yield
        return
    world: World = request.getfixturevalue("world")
    before = everything(world)
    yield
    assert everything(world) == before


def everything(world: World) -> tuple[object, ...]:
    rows = [world.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in ("tenants", "documents")]
    buckets = {each["Name"] for each in world.server.root().list_buckets()["Buckets"]}
    return world.rows(COLUMNS), rows, {name for name in buckets if name.startswith((world.prefix, "logs-"))}


def secrets_of(world: World) -> list[str]:
    return [world.keys[1], str(psycopg.conninfo.conninfo_to_dict(world.url)["password"]), WRONG]


def assert_refused(world: World, done: CompletedProcess[str], *subjects: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert [line[:7] for line in rest] == ["Hint:  "], done.stderr
    for subject in subjects:
        assert subject in done.stderr, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for secret in secrets_of(world):
        assert secret not in done.stderr


def with_password(url: str, password: str) -> str:
    return url.replace(str(psycopg.conninfo.conninfo_to_dict(url)["password"]), password)


CASES: dict[str, tuple[Callable[[World], dict[str, str]], tuple[str, ...]]] = {
    "no DATABASE_URL": (lambda _: {"DATABASE_URL": ""}, ("DATABASE_URL is not set", "export DATABASE_URL=")),
    "no shared bucket named": (lambda _: {"REHOUSE_SHARED_BUCKET": ""}, ("REHOUSE_SHARED_BUCKET is not set",)),
    "wrong password": (lambda w: {"DATABASE_URL": with_password(w.url, WRONG)}, ("wrong user or password", "DATABASE_URL")),
    "database down": (
        lambda w: {"DATABASE_URL": f"{w.url.rpartition(':')[0]}:1/dataroom"},
        ("@127.0.0.1:1/dataroom", "nothing answers"),
    ),
    "no such database": (lambda w: {"DATABASE_URL": w.url + "nope"}, ("nope", "does not exist")),
    "malformed DATABASE_URL": (
        lambda _: {"DATABASE_URL": f"postgresql://app:{WRONG}@x@127.0.0.1/d"},
        ("DATABASE_URL is no connection string", "percent-encoded"),
    ),
    "wrong access key": (
        lambda _: {"AWS_ACCESS_KEY_ID": "AKIANOTTHERE12345678", "AWS_SECRET_ACCESS_KEY": WRONG},
        ("the AWS credentials", "AWS_ACCESS_KEY_ID"),
    ),
    "wrong secret key": (lambda _: {"AWS_SECRET_ACCESS_KEY": WRONG}, ("the AWS credentials", "AWS_SECRET_ACCESS_KEY")),
    "no keys": (
        lambda _: {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        ("credentials", "AWS_ACCESS_KEY_ID"),
    ),
    "no such profile": (lambda _: {"AWS_PROFILE": "nope"}, ("nope", "AWS_PROFILE")),
    "endpoint down": (
        lambda _: {"AWS_ENDPOINT_URL_S3": NOWHERE, "AWS_ENDPOINT_URL": NOWHERE},
        (NOWHERE, "AWS_ENDPOINT_URL_S3"),
    ),
    "missing shared bucket": (
        lambda w: {"REHOUSE_SHARED_BUCKET": f"{w.shared},not-there-at-all"},
        ("not-there-at-all", "check the bucket's name"),
    ),
    "missing table": (
        lambda _: {"REHOUSE_MAPPING_DOCUMENTS_TABLE": "dokuments"},
        ("the table dokuments", "documents", "REHOUSE_MAPPING_DOCUMENTS_TABLE"),
    ),
    "missing column": (
        lambda _: {"REHOUSE_MAPPING_TENANTS_SLUG": "slugg"},
        ("has no column slugg", "slug;", "REHOUSE_MAPPING_TENANTS_SLUG"),
    ),
    "unknown variable": (lambda _: {"REHOUSE_SHARED_BUKET": "x"}, ("REHOUSE_SHARED_BUKET", "REHOUSE_SHARED_BUCKET?")),
    "full disk for the log": (lambda _: {"REHOUSE_LOG_FILE": "/dev/full"}, ("the log /dev/full", "No space left")),
    "log in no folder": (lambda _: {"REHOUSE_LOG_FILE": "/nonexistent/rehouse.log"}, ("the log /nonexistent/rehouse.log",)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_command_refuses_and_says_why(world: World, case: str) -> None:
    changed, subjects = CASES[case]
    assert_refused(world, world.run("migrate", "acme-corp", **changed(world)), *subjects)


EVERY = [
    ("init",), ("plan",), ("migrate", "acme-corp"), ("migrate-all",), ("verify", "acme-corp"), ("verify-all",), ("status",),
    ("status", "acme-corp"), ("accept", "acme-corp", "d1", "--reason", "x"),
]  # fmt: skip
NEEDS_NO_STORAGE = {
    "endpoint down",
    "missing shared bucket",
    "wrong access key",
    "wrong secret key",
    "no keys",
    "no such profile",
}


def run_here(
    world: World,
    arguments: tuple[str, ...],
    changed: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    folder: str = "/",
) -> CompletedProcess[str]:
    """The command in this process: quicker, where it is refused before it has done anything."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "REHOUSE_", "DATABASE_"))]:
            patch.delenv(name)
        for name, value in (world.environment() | changed).items():
            patch.setenv(name, value)
        patch.chdir(folder)
        capfd.readouterr()
        status = main(list(arguments))
        said = capfd.readouterr()
    return CompletedProcess(arguments, status, said.out, said.err)


@pytest.mark.parametrize(
    "case", ["no DATABASE_URL", "wrong password", "database down", "missing column", "unknown variable"]
)
def test_every_command_refuses_a_database_that_cannot_be_used(
    world: World, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed, subjects = CASES[case]
    for arguments in (*EVERY, ("init", "--sql"), ("migrate", "acme-corp", "--dry-run"), ("migrate-all", "--dry-run")):
        assert_refused(world, run_here(world, arguments, changed(world), capfd), *subjects)


@pytest.mark.parametrize("case", ["wrong secret key", "no such profile"])
def test_every_command_that_needs_s3_refuses_wrong_credentials(
    world: World, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed, subjects = CASES[case]
    for arguments in EVERY[1:]:
        assert_refused(world, run_here(world, arguments, changed(world), capfd), *subjects)


def test_every_command_that_writes_a_log_refuses_a_full_disk(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in EVERY:
        assert_refused(world, run_here(world, arguments, {"REHOUSE_LOG_FILE": "/dev/full"}, capfd), "the log /dev/full")


@pytest.mark.parametrize(
    "case", ["wrong password", "database down", "missing table", "wrong secret key", "endpoint down"]
)
def test_doctor_reports_what_fails_as_a_finding(world: World, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    changed, subjects = CASES[case]
    done = run_here(world, ("doctor", "--output", "json"), changed(world), capfd)
    assert done.returncode == 1
    assert '"failed"' in done.stdout
    assert subjects[0] in done.stdout
    assert not any(secret in done.stdout + done.stderr for secret in secrets_of(world))


UNKNOWN = {
    "acme-crop": "acme-corp",
    "ACME-CORP": "",
    "x" * 200: "",
    "Acme.Corp": "acme-corp",
    "🦊": "`rehouse status`",
    "'; DROP TABLE tenants; --": "`rehouse status`",
    "": "`rehouse status`",
    "a\nb\x1b[31m": "`rehouse status`",
}


@pytest.mark.parametrize("slug", UNKNOWN)
def test_an_unknown_slug_is_refused_with_the_nearest_ones(
    world: World, slug: str, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = [
        ("migrate", slug),
        ("verify", slug),
        ("status", slug),
        ("plan", slug),
        ("accept", slug, "d", "--reason", "x"),
    ]
    commands += [("migrate-all", "--only", slug), ("migrate-all", "--exclude", slug), ("verify-all", "--only", slug)]
    for arguments in commands:
        assert_refused(world, run_here(world, arguments, {}, capfd), "there is no tenant", repr(slug), UNKNOWN[slug])


def test_an_unknown_slug_is_refused_by_the_real_command(world: World) -> None:
    assert_refused(world, world.run("migrate", "acme-crop"), "'acme-crop'", "did you mean acme-corp")


USAGE = {
    ("migrate", "acme-corp", "--output", "xml"): "'xml'",
    ("migrate", "acme-corp", "--until", "nonsense"): "'nonsense'",
    ("migrate-all", "--until", "finished"): "'finished'",
    ("migrate-all", "--parallel", "0"): "--parallel",
    ("migrate-all", "--parallel", "many"): "many",
    ("migrate", "acme-corp", "--max-rate", "0"): "--max-rate",
    ("migrat", "acme-corp"): "'migrate'",
    ("migrate",): "SLUG",
    ("migrate", "acme-corp", "globex"): "globex",
    ("accept", "acme-corp", "d1"): "--reason",
    ("accept", "acme-corp", "--reason", "x"): "DOCUMENT",
    ("status", "--nope"): "--nope",
    ("iam-policy", "--role", "nobody"): "'nobody'",
    ("sandbox", "--tenant-id", "text"): "'text'",
}


@pytest.mark.parametrize("arguments", USAGE)
def test_wrong_usage_is_refused(world: World, arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    assert_refused(world, run_here(world, arguments, {}, capfd), USAGE[arguments], "--help`")


def test_wrong_usage_is_refused_by_the_real_command(world: World) -> None:
    assert_refused(world, world.run("migrate-all", "--parallel", "0"), "--parallel", "`rehouse migrate-all --help`")


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("bucket_prefix = ", "is not valid TOML"),
        ("shared_bukket = 'x'", "the setting shared_bukket is unknown"),
        ("[lifecycle]\nnoncurrent_days = 'many'", "lifecycle.noncurrent_days"),
    ],
)
def test_a_wrong_rehouse_toml_is_refused_by_every_command(
    world: World, text: str, subject: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rehouse.toml").write_text(f"database_url = '{WRONG}'\n{text}\n")
    for arguments in (*EVERY, ("doctor",), ("iam-policy",), ("config",)):
        done = run_here(world, arguments, {}, capfd, folder=str(tmp_path))
        assert_refused(world, done, "rehouse.toml", subject)


@pytest.mark.parametrize("reason", ["", "  "])
def test_nothing_is_accepted_without_a_reason(world: World, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    done = run_here(world, ("accept", "acme-corp", "d1", "--reason", reason), {}, capfd)
    assert_refused(world, done, "reason")


IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:sts::000000000000:assumed-role/r/s</Arn><UserId>AROA:s</UserId><Account>000000000000</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""
EXPIRED_FOR_STS = b"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>ExpiredToken</Code><Message>The security token included in the request is expired</Message></Error></ErrorResponse>"""


@pytest.mark.parametrize(
    ("sts", "command"), [(False, ("migrate", "acme-corp")), (True, ("plan",)), (True, ("verify-all",))]
)
def test_an_expired_token_is_refused_wherever_it_is_noticed(world: World, sts: bool, command: tuple[str, ...]) -> None:
    """S3 servers at hand expire no token, so AWS's own answers are played: by STS at once, or by S3 in the middle."""

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST":
            return Scripted(200, IDENTITY) if sts else Scripted(403, EXPIRED_FOR_STS)
        return Scripted(400, error("ExpiredToken", "The provided token has expired."))

    with serving(answer) as endpoint:
        elsewhere = {"AWS_ENDPOINT_URL_S3": endpoint.url, "AWS_ENDPOINT_URL": endpoint.url, "AWS_SESSION_TOKEN": WRONG}
        assert_refused(world, world.run(*command, **elsewhere), "ExpiredToken", "renew the credentials")


@pytest.fixture
def pooled(world: World, servers_folder: Path) -> Iterator[str]:
    """The world's database behind a pooler in transaction mode."""
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed here")
    port, folder = free_port(), servers_folder / "transaction-pooler"
    folder.mkdir()
    parts = psycopg.conninfo.conninfo_to_dict(world.url)
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
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return url
    raise AssertionError("the pooler does not answer")


def test_a_pooler_in_between_is_refused(world: World, pooled: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert_refused(world, world.run("migrate", "acme-corp", DATABASE_URL=pooled), "pooler", "own port")
    for arguments in EVERY:
        assert_refused(world, run_here(world, arguments, {"DATABASE_URL": pooled}, capfd), "pooler")
    assert '"failed"' in run_here(world, ("doctor", "--output", "json"), {"DATABASE_URL": pooled}, capfd).stdout


@pytest.fixture
def blind(world: World, postgres: PostgresServer) -> Iterator[str]:
    """The world's database for a role with every right, from which row security hides every document."""
    database = world.url.rpartition("/")[2]
    role = f"blind_{database}"
    postgres.role(role)
    world.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    world.execute(f"GRANT ALL ON SCHEMA public TO {role}")
    world.execute("ALTER TABLE documents ENABLE ROW LEVEL SECURITY")
    yield postgres.url(database, role)
    world.execute("ALTER TABLE documents DISABLE ROW LEVEL SECURITY")
    world.execute(f"DROP OWNED BY {role}")
    postgres.execute(f"DROP ROLE {role}")


def test_a_role_that_row_security_blinds_is_refused(
    world: World, blind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert_refused(world, world.run("migrate", "acme-corp", DATABASE_URL=blind), "row security", "BYPASSRLS")
    for arguments in EVERY:
        assert_refused(world, run_here(world, arguments, {"DATABASE_URL": blind}, capfd), "row security")
    assert '"failed"' in run_here(world, ("doctor", "--output", "json"), {"DATABASE_URL": blind}, capfd).stdout


ODD_SLUGS = [
    "s" * 200,
    "Acme.Corp.EU",
    "🦊🦊",
    "'; DROP TABLE tenants; --",
    "-dash-in-front",
    " spaces ",
    "a/b?c#d%41",
    "xn--acme",
]


def test_whatever_a_tenants_slug_is_its_migration_works(new_world: Callable[..., World]) -> None:
    """A slug in the database is no input that could be refused: the bucket's name is made valid."""
    odd = new_world("integer")
    storage = odd.server.root()
    for number, slug in enumerate(ODD_SLUGS, 1):
        odd.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        odd.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size)"
            " VALUES (%s, %s, 'a.pdf', 'a.pdf', %s, %s, 3)",
            f"d{number}", number, odd.shared, f"k{number}",
        )  # fmt: skip
        storage.put_object(Bucket=odd.shared, Key=f"k{number}", Body=slug.encode())
    first = odd.run("migrate", "--", "'; DROP TABLE tenants; --")
    assert first.returncode == 0, first.stdout + first.stderr
    second = odd.run("migrate-all", "--output", "json")
    assert second.returncode == 0, second.stdout + second.stderr
    assert odd.run("verify", "--", "-dash-in-front").returncode == 0
    rows = odd.rows(
        "SELECT t.slug, t.aws_bucket_name, d.s3_bucket, d.s3_key FROM tenants t JOIN documents d ON d.tenant_id = t.id"
    )
    assert sorted(slug for slug, *_ in rows) == sorted(ODD_SLUGS)
    for slug, home, bucket, key in rows:
        assert home == bucket
        assert home.startswith(odd.prefix)
        assert storage.get_object(Bucket=bucket, Key=key)["Body"].read() == slug.encode()
    assert len({home for _, home, *_ in rows}) == len(ODD_SLUGS)


def test_a_log_that_fills_up_in_the_middle_does_not_stop_the_run(
    new_world: Callable[..., World], tmp_path: Path
) -> None:
    small = new_world("integer")
    small.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'acme', 'acme')")
    log = tmp_path / "rehouse.log"
    command = f"ulimit -f 1; truncate -s 970 {log}; exec python -m rehouse migrate acme"
    environment = small.environment() | {"REHOUSE_LOG_FILE": str(log), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PATH"] = f"{Path(shutil.which('python') or '').parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "the log can no longer be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_the_log_is_its_owners_alone_and_holds_no_secret(world: World, tmp_path: Path) -> None:
    log = tmp_path / "rehouse.log"
    done = world.run("status", "nobody", REHOUSE_LOG_FILE=str(log))
    assert_refused(world, done, "nobody")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    told = log.read_text()
    assert "there is no tenant 'nobody'" in told
    assert not any(secret in told for secret in secrets_of(world))
