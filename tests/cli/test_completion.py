"""Completion by the shell's own protocol: tenants from the database or a private file, within the limit, without a word else."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.command_line import COMMAND, SECRET
from tests.support.data_room import Room

from rehouse.cli import completion

DEAD = "postgresql://u@127.0.0.1:1/nowhere"
PROGRAM = [COMMAND[0], "-c", "from rehouse.cli.main import run; run()"]
LONG_AGO = time.time() - 24 * 3600


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the names, in a working directory of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "rehouse"


def complete(*words: str, shell: str = "bash") -> list[str]:
    """Return what is offered for the last word; the protocol is that of the scripts which Typer installs."""
    asked = {
        "_REHOUSE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": " ".join(words),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    begun = time.monotonic()
    done = subprocess.run(PROGRAM, env=os.environ | asked, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begun < 4, "it waits for nothing; a busy machine is allowed for"
    return done.stdout.split()


def until_offered(*words: str, shell: str = "bash") -> list[str]:
    """Complete until there is something: the first time the machine may take longer than the shell waits."""
    for _ in range(20):
        if found := complete(*words, shell=shell):
            return found
        time.sleep(0.5)
    raise AssertionError("nothing was offered")


def remember(*names: str, at: float | None = None) -> Path:
    path = completion.cache_path()
    assert path
    completion.write_cache(path, names)
    if at is not None:
        os.utime(path, (at, at))
    return path


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that refuses connections."""
    monkeypatch.setenv("DATABASE_URL", DEAD)


def test_tenants_are_offered_wherever_a_slug_is_asked_for(room: Room) -> None:
    room.tenant("globex")
    assert until_offered("rehouse", "migrate", "") == ["acme", "globex"]
    for words in (
        ("rollback", "gl"),
        ("plan", "--output", "json", "gl"),
        ("--color", "=", "never", "verify", "gl"),
        ("verify-all", "--only", "gl"),
        ("verify-all", "--only", "=", "gl"),
        ("migrate-all", "--only", "acme", "--exclude", "gl"),
    ):
        assert complete("rehouse", *words) == ["globex"], words


def test_the_names_are_kept_for_their_owner_alone(room: Room, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    until_offered("rehouse", "migrate", "")
    [path] = cache.iterdir()
    assert (cache.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert path.read_text() == "acme\n"
    monkeypatch.setenv("DATABASE_URL", re.sub(r"//([^:@]*)(:[^@]*)?@", rf"//\1:{SECRET}@", room.url))
    assert completion.cache_path() == path, "whatever the password"


def test_slugs_that_a_shell_would_break_are_left_out(room: Room) -> None:
    room.sql("ALTER TABLE tenants ALTER slug DROP NOT NULL")
    for number, slug in enumerate(("a b", "$(touch here)", "it's", "a;b", "-x", None, "über"), 100):
        room.sql(
            "INSERT INTO tenants (id, name, slug, is_active) VALUES (%s, 'T', %s, %s)", number, slug, number != 106
        )
    assert until_offered("rehouse", "migrate", "") == ["105", "acme", "über"], "one without a slug by its id"


def test_fresh_names_spare_the_database(dead: None) -> None:
    remember("acme")
    assert complete("rehouse", "migrate", "a") == ["acme"]


def test_a_new_tenant_is_looked_for_at_once(room: Room) -> None:
    remember("acme")
    room.tenant("globex")
    assert until_offered("rehouse", "migrate", "glo") == ["globex"]


def test_old_names_are_replaced(room: Room) -> None:
    path = remember("gone", at=LONG_AGO)
    complete("rehouse", "migrate", "")
    for _ in range(50):
        if path.read_text() == "acme\n":
            break
        time.sleep(0.2)
    assert complete("rehouse", "migrate", "") == ["acme"]


def test_a_dead_database_gives_the_names_of_before(dead: None) -> None:
    assert complete("rehouse", "migrate", "") == []
    remember("acme", at=LONG_AGO)
    assert complete("rehouse", "migrate", "") == ["acme"]


def test_a_silent_server_gives_the_names_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/db")
        assert complete("rehouse", "migrate", "") == []
        remember("acme", at=LONG_AGO)
        assert complete("rehouse", "migrate", "") == ["acme"]


def test_a_slow_password_command_is_not_waited_for(dead: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ask"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\necho no token >&2\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("REHOUSE_DATABASE_PASSWORD_COMMAND", str(program))
    assert complete("rehouse", "migrate", "") == []
    for _ in range(150):
        if (tmp_path / "pid").exists() and not Path("/proc", (tmp_path / "pid").read_text().strip()).exists():
            return
        time.sleep(0.1)
    raise AssertionError("the command is still there")


def test_a_file_names_no_program_that_completion_runs(dead: None, tmp_path: Path) -> None:
    program = tmp_path / "ask"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o700)
    (tmp_path / "rehouse.toml").write_text(f"database_password_command = '{program}'")
    assert complete("rehouse", "migrate", "") == []
    time.sleep(3)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("settings", ["nonsense =", "no_such_setting = 1", "[database_url]"])
def test_wrong_settings_offer_nothing(settings: str, tmp_path: Path) -> None:
    (tmp_path / "rehouse.toml").write_text(settings)
    assert complete("rehouse", "migrate", "") == []


def test_a_folder_that_cannot_be_made_costs_no_name(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(completion, "LIMIT_SECONDS", 30.0)
    read, write = os.pipe()
    if os.fork() == 0:
        os.dup2(write, 1)
        os.write(1, "\n".join(completion.offer_tenants("")).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        assert said.read() == "acme"
    assert room.shared


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("migrate", "acme", "--until", "ver"), ["verified"]),
        (("migrate", "acme", "--until", "=", "pla"), ["planned"]),
        (("iam-policy", "--role", "mi"), ["migrate"]),
        (("sandbox", "--role", "fin"), ["finish"]),
        (("migrate", "acme", "--only-failed", "--code", "missing"), ["missing_object"]),
        (("status", "--wi"), ["--wide"]),
        (("status", "--color", "nonsense", ""), []),
    ],
)
def test_values_of_options_are_offered(words: tuple[str, ...], expected: list[str]) -> None:
    assert complete("rehouse", *words) == expected


def test_the_limit_counts_from_the_start_of_the_process() -> None:
    program = (
        "import time; time.sleep(0.5); from rehouse.cli.completion import seconds_since_start as since; print(since())"
    )
    done = subprocess.run([COMMAND[0], "-c", program], check=True, capture_output=True, text=True)
    assert 0.5 <= float(done.stdout) < 60


def test_zsh_and_fish_are_offered_the_same(dead: None) -> None:
    remember("acme", "globex")
    assert complete("rehouse", "migrate", "gl", shell="zsh") == ["_arguments", "'*:", """:(("globex"))'"""]
    assert complete("rehouse", "migrate", "gl", shell="fish") == ["globex"]


BASH = """
source <(_REHOUSE_COMPLETE=source_bash rehouse)
COMP_WORDS=(rehouse verify-all --only = gl) COMP_CWORD=4
_rehouse_completion rehouse
printf '%s\\n' "${COMPREPLY[@]}"
complete -p rehouse
"""


def test_bash_itself_completes_a_tenant(
    dead: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_script: Callable[[str], str]
) -> None:
    remember("acme", "globex")
    assert run_script(BASH).splitlines() == ["globex", "complete -o default -F _rehouse_completion rehouse"]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function that runs a script of bash's, with rehouse on its PATH."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def run(script: str) -> str:
        command = ["bash", "--norc", "-c", script]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    return run
