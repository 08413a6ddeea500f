"""What a refusal must look like, and running the command where it is expected to be refused."""

from __future__ import annotations

import os
from subprocess import CompletedProcess

import psycopg
import pytest
from tests.support.command import World

from rehouse.cli.main import main

WRONG = "not-the-right-secret"
EVERY = [
    ("init",), ("plan",), ("migrate", "acme-corp"), ("migrate-all",), ("verify", "acme-corp"), ("verify-all",), ("status",),
    ("status", "acme-corp"), ("accept", "acme-corp", "d1", "--reason", "x"),
]  # fmt: skip


def secrets_of(world: World) -> list[str]:
    """What no output may hold."""
    return [world.keys[1], str(psycopg.conninfo.conninfo_to_dict(world.url)["password"]), WRONG]


def assert_refused(world: World, done: CompletedProcess[str], *subjects: str) -> None:
    """Exit status 2; on stderr one line for the error and one for the hint, the subjects in them; nothing else anywhere."""
    assert done.returncode == 2, done.stdout + done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert [line[:7] for line in rest] == ["Hint:  "], done.stderr
    for subject in subjects:
        assert subject in done.stderr, done.stderr
    assert done.stdout == ""
    for secret in secrets_of(world):
        assert secret not in done.stderr


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
