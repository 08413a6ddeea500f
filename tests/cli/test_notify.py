"""`--notify`, `--verbose` and `--quiet`: before or after the command, whatever it is, and however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command_line import BARE, COMMAND
from tests.support.envelope import envelope_of

from rehouse.cli import notify, progress
from rehouse.cli.main import main

KEEP = 'cat > "$TOLD"; echo "$REHOUSE_COMMAND $REHOUSE_EXIT_STATUS $REHOUSE_RUN_ID" >> "$TOLD"'


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], tuple[dict[str, object], str]]:
    """What the command of --notify got: the envelope on its stdin, and its variables."""
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))

    def read() -> tuple[dict[str, object], str]:
        envelope, variables = (tmp_path / "told").read_text().splitlines()
        return envelope_of(envelope), variables

    return read


def test_a_run_that_ends_well_is_notified(
    run_sql: Callable[[str], None],
    told: Callable[[], tuple[dict[str, object], str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_sql("""UPDATE tenants SET slug = '$(touch /tmp/x)"; exit 9' WHERE slug = 'globex'""")
    assert main(["migrate-all", "--notify", KEEP]) == 0
    envelope, variables = told()
    assert variables == f"migrate-all 0 {envelope['run_id']}"
    assert "Warning" not in capsys.readouterr().err
    assert "exit 9" in json.dumps(envelope["result"])


@pytest.mark.parametrize("arguments", [["status", "nobody"], ["migrate-all", "--nonsense"]])
def test_a_refusal_is_notified(
    run_sql: Callable[[str], None], told: Callable[[], tuple[dict[str, object], str]], arguments: list[str]
) -> None:
    assert main([f"--notify={KEEP}", *arguments]) == 2
    envelope, variables = told()
    assert variables.rstrip() == f"{arguments[0]} 2"
    assert envelope["result"] is None


def test_an_interrupt_is_notified(
    told: Callable[[], tuple[dict[str, object], str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("rehouse.operations.rules.rules", interrupt)
    assert main(["rules", "--notify", KEEP]) == 130
    assert told()[1].rstrip() == "rules 130"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("exit 7", "ended with status 7"),
        ("sleep 60", "took longer than"),
        ("/nonexistent/program", "ended with status 127"),
    ],
)
def test_a_notification_that_fails_is_a_warning(
    command: str, words: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "SECONDS", 0.5)
    assert main(["help", "words", "--notify", command]) == 0
    assert f"Warning: the command of --notify {words}" in " ".join(capfd.readouterr().err.split("\n"))[-200:]


def test_what_a_notification_prints_is_not_on_stdout() -> None:
    words = [*COMMAND, "rules", "--output", "json", "--notify", "echo heard"]
    done = subprocess.run(words, env=BARE, cwd="/", capture_output=True, text=True, check=True)
    assert envelope_of(done.stdout)["command"] == "rules"
    assert "heard" in done.stderr


def test_a_notification_may_call_rehouse() -> None:
    words = [*COMMAND, "rules", "--notify", f"{COMMAND[0]} -m rehouse config"]
    done = subprocess.run(words, env=BARE, cwd="/", capture_output=True, text=True, check=True)
    assert "Warning" not in done.stderr


def test_a_notification_needs_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--notify", " "]) == 2
    assert "--notify needs a command" in capsys.readouterr().err


def test_quiet_prints_errors_and_the_result(
    run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.001)
    assert main(["migrate", "acme", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "Documents migrated: 1" in said.out
    assert "Next:" not in said.out
    assert "note:" not in said.out
    assert main(["-q", "migrate", "acme", "--progress", "plain"]) == 0
    assert capsys.readouterr().err
    assert main(["-q", "status", "nobody"]) == 2
    assert "there is no tenant 'nobody'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["-v", "migrate", "acme"], ["migrate", "acme", "--verbose"]])
def test_verbose_prints_settings_steps_and_requests(
    arguments: list[str], run_sql: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    said = capsys.readouterr().err
    for words in (
        "DEBUG setting shared_bucket = ",
        "DEBUG setting database_url = ***",
        "DEBUG CreateBucket: PUT ",
        "INFO requests: ",
    ):
        assert words in said
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said


def test_verbose_and_quiet_contradict_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-v", "status", "-q"]) == 2
    assert "contradict each other" in capsys.readouterr().err


def test_a_full_disk_is_notified_with_its_status(
    told: Callable[[], tuple[dict[str, object], str]], application_database: str
) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "status", "--notify", KEEP],
            env={
                **BARE,
                "TOLD": os.environ["TOLD"],
                "DATABASE_URL": application_database,
                "REHOUSE_SHARED_BUCKET": "shared",
            },
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.count("disk is full")) == (1, 1)
    assert told()[1].rstrip() == "status 1"


def test_a_terminated_notification_keeps_the_status() -> None:
    started = 'kill -TERM "$PPID"; sleep 30'
    done = subprocess.run(
        [*COMMAND, "status", "--notify", started], env=BARE, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert "was interrupted" in done.stderr
