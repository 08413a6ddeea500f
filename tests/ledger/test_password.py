"""A password may come from a command, which is asked for every connection; no message ever holds what it printed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.rotating_passwords import Rotating, python
from tests.support.sessions import cut_off

from rehouse.core.errors import DatabaseRefused, TryAgain
from rehouse.ledger import password
from rehouse.ledger.connection import connect
from rehouse.ledger.lock import Locks
from rehouse.ledger.password import ask_password
from rehouse.sandbox.postgres import PostgresServer

TOKEN = "host:5432/?Action=connect&X-Amz-Signature=ab%2F+== é"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", "\nanother line\n"])
def test_the_first_line_is_the_password(ending: str) -> None:
    program = f"import sys; sys.stdout.buffer.write({(TOKEN + ending).encode()!r})"
    assert ask_password(python(program)) == TOKEN


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (python("print('not-shown'); raise SystemExit(3)"), "status 3"),
        (python("pass"), "printed no password"),
        (python("print()"), "printed no password"),
        (python("import sys; sys.stdout.buffer.write(bytes([255]))"), "UTF-8"),
        ("/no/such/program --password not-shown", "/no/such/program cannot be run: No such file"),
    ],
)
def test_a_failing_command_is_named_without_its_output(command: str, what: str) -> None:
    with pytest.raises(DatabaseRefused) as refusal:
        ask_password(command)
    assert what in refusal.value.message
    assert "REHOUSE_DATABASE_PASSWORD_COMMAND" in refusal.value.message
    assert "not-shown" not in refusal.value.message + refusal.value.hint
    assert refusal.value.__cause__ is None


def test_a_command_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(password, "SECONDS", 0.2)
    with pytest.raises(TryAgain, match="within"):
        ask_password(python("import time; time.sleep(60)"))


def test_the_shell_is_not_asked(tmp_path: Path) -> None:
    assert ask_password(f"echo $(touch {tmp_path}/made); echo") == f"$(touch {tmp_path}/made); echo"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def rotating(postgres: PostgresServer, empty_database: str, tmp_path: Path) -> Rotating:
    return Rotating(postgres, empty_database, tmp_path)


def test_every_connection_asks_for_the_password(rotating: Rotating, empty_database: str) -> None:
    connect(rotating.url, password_command=rotating.command).close()
    with Locks(rotating.url, password_command=rotating.command) as locks:
        locks.acquire(7)
        cut_off(empty_database)
        assert not locks.is_still_held()
        locks.reacquire()
        assert locks.is_still_held()
    assert len(set(rotating.printed)) == 3


def test_an_expired_password_is_refused_and_not_shown(rotating: Rotating) -> None:
    connect(rotating.url, password_command=rotating.command).close()
    (old,) = rotating.printed
    connect(rotating.url, password_command=rotating.command).close()
    with pytest.raises(DatabaseRefused, match="wrong user or password") as refusal:
        connect(rotating.url, password_command=f"echo {old}")
    assert "REHOUSE_DATABASE_PASSWORD_COMMAND" in refusal.value.hint
    assert old not in refusal.value.message + refusal.value.hint
