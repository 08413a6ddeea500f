"""What a refusal must look like, and running the command where it is expected to be refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from subprocess import CompletedProcess

import psycopg
import pytest
from tests.support.data_room import Room

from rehouse.cli.main import main

WRONG = "not-the-right-secret"
EVERY = [
    ("init",), ("plan",), ("migrate", "acme-corp"), ("migrate-all",), ("verify", "acme-corp"), ("verify-all",), ("status",),
    ("status", "acme-corp"), ("accept", "acme-corp", "d1", "--reason", "x"),
]  # fmt: skip


def secrets_of(room: Room) -> list[str]:
    """What no output may hold."""
    return [room.credentials[1], str(psycopg.conninfo.conninfo_to_dict(room.url)["password"]), WRONG]


def assert_refused(room: Room, done: CompletedProcess[str], *subjects: str) -> None:
    """Exit status 2; on stderr one line for the error and one for the hint, the subjects in them; nothing else anywhere."""
    assert done.returncode == 2, done.stdout + done.stderr
    first, *rest = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert [line[:7] for line in rest] == ["Hint:  "], done.stderr
    for subject in subjects:
        assert subject in done.stderr, done.stderr
    assert done.stdout == ""
    for secret in secrets_of(room):
        assert secret not in done.stderr


def run_here(
    room: Room,
    arguments: tuple[str, ...],
    changed: dict[str, str],
    capfd: pytest.CaptureFixture[str],
    folder: str = "/",
) -> CompletedProcess[str]:
    """The command in this process: quicker, where it is refused before it has done anything."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "REHOUSE_", "DATABASE_"))]:
            patch.delenv(name)
        for name, value in (room.environment() | changed).items():
            patch.setenv(name, value)
        patch.chdir(folder)
        capfd.readouterr()
        status = main(list(arguments))
        said = capfd.readouterr()
    return CompletedProcess(arguments, status, said.out, said.err)


COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"


def small_room_on(new_room: Callable[..., Room]) -> Room:
    """Two tenants with a document each, and no table of ours."""
    made = new_room("integer")
    for number, slug in enumerate(("acme-corp", "globex"), 1):
        made.execute("INSERT INTO tenants (id, name, slug) VALUES (%s, %s, %s)", number, slug, slug)
        made.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_key, size) VALUES (%s, %s, 'a', 'a', %s, 3)",
            f"d{number}", number, f"k{number}",
        )  # fmt: skip
        made.server.root().put_object(Bucket=made.shared, Key=f"k{number}", Body=b"abc")
    return made


def unchanged(small_room: Room) -> Iterator[Room]:
    """The small room: its tables, its rows and the server's buckets are the same after the test."""
    before = everything(small_room)
    yield small_room
    assert everything(small_room) == before


def everything(room: Room) -> tuple[object, ...]:
    """What a refused command must leave as it was."""
    rows = [room.rows(f"SELECT t::text FROM {table} t ORDER BY 1") for table in ("tenants", "documents")]
    buckets = {each["Name"] for each in room.server.root().list_buckets()["Buckets"]}
    return (
        room.rows(COLUMNS),
        rows,
        {name for name in buckets if name.startswith((f"{room.prefix}-", room.log_bucket))},
    )


NOWHERE = "http://127.0.0.1:1"


def with_password(url: str, password: str) -> str:
    return url.replace(str(psycopg.conninfo.conninfo_to_dict(url)["password"]), password)


CASES: dict[str, tuple[Callable[[Room], dict[str, str]], tuple[str, ...]]] = {
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
        ("DATABASE_URL is not a connection string", "percent-encoded"),
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
