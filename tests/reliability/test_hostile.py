"""Keys, names, slugs and rows that bite: all in one room, sent home, overwritten, sent back, sent home again and finished.

After each step every document is read where its row points and held to bytes, headers, metadata and tags. What must not be
copied stays where it is, with its reason. The local server knows no object under a customer's key: a relay answers for it as S3
does.
"""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from urllib.parse import unquote

import pytest
from tests.support import independent_check
from tests.support.closing_questions import unreadable
from tests.support.data_room import Room
from tests.support.hostile import BY_HAND, QUARANTINED, SLUGS, Hostile, lay_out
from tests.support.http_relay import Reply, Request
from tests.support.s3_stub import error

WAYS = ("sent home", "sent back", "sent home again", "finished")


@pytest.fixture
def made(new_room: Callable[..., Room]) -> Iterator[Hostile]:
    """The room, laid out."""
    hostile = Hostile(new_room())
    lay_out(hostile)
    yield hostile
    hostile.remove()


@pytest.mark.long
@pytest.mark.sample
def test_all_that_bites_goes_home_and_back_and_home_again(made: Hostile, figure) -> None:
    made.contents = made.read()
    sources = made.pointers()
    stayed = {each: sources[each] for each in (*QUARANTINED, "own", "nobody", "no-key", "empty-key")}
    before = independent_check.objects_of(made.root, made.room.shared)

    ended = made.run("migrate-all")
    assert ended.status == 3, ended
    assert made.errors() == QUARANTINED | {"own": "other_tenants_object"}
    made.held("sent home", homes=True)
    assert independent_check.objects_of(made.root, made.room.shared) == before, "the shared bucket is only read"
    made.only_what_rows_lead_to_is_at_home()
    homes = [home for (home,) in made.room.rows("SELECT aws_bucket_name FROM tenants")]
    assert len(set(homes)) == len(SLUGS) + 4
    for slug in ("keys", "names"):
        looked = made.run("verify", slug, "--deep")
        assert looked.status == 0, looked

    overwritten = made.overwrite(3)
    home, key = made.pointers()["name-0"]
    made.row(1, "thief", key, bucket=home)
    made.contents = made.read()
    ended = made.run("rollback", "--all")
    assert ended.status == 0, ended
    made.held("sent back", homes=False)
    quarantined = QUARANTINED | {"own": "other_tenants_object", "thief": "unknown_bucket"}

    ended = made.run("migrate-all")
    assert ended.status == 3, ended
    assert made.errors() == quarantined
    made.held("sent home again", homes=True)

    # Names are made of what bites in keys as well, so they "hold" keys such as `null`.
    columns = ("documents.original_name", "documents.id", "documents.s3_bucket", "tenants.name", "tenants.slug")
    made.room.more["REHOUSE_FINISH_IGNORE_COLUMNS"] = ",".join(f"public.{column}" for column in columns)
    ended = made.run("finish", "--all", "--after", "0", "--yes")
    assert ended.status == 1, ended
    of_nobody_cut_over = {
        document_id
        for (document_id,) in made.room.rows(
            "SELECT d.id FROM documents d JOIN tenants t ON t.id = d.tenant_id WHERE t.aws_bucket_name IS NULL"
        )
    }
    assert of_nobody_cut_over & quarantined.keys() == {"own"}, "of a tenant none of whose documents can move"
    errors = len(quarantined.keys() - of_nobody_cut_over) + 1
    assert f"Errors: {errors}" in ended.printed, "what was not moved, and the key that goes by hand"
    made.held("finished", homes=True)
    assert {each: made.pointers()[each] for each in stayed} == stayed
    left = {each["Key"] for page in made.pages() for each in page.get("Contents", [])}
    forgotten = {sources[each][1] for each in overwritten} - {sources["twin-1"][1]}
    assert left - forgotten == {"in/theirs", "in/nobody", "in/orphan", "up", BY_HAND} - forgotten
    for kind in dict.fromkeys(made.kinds.values()):
        count = sum(each == kind for each in made.kinds.values())
        figure("hostile keys", **{"what": kind, "documents": count, **dict.fromkeys(WAYS, count)})
    figure("hostile keys", **{"what": "rows that must stay", "documents": len(stayed), **dict.fromkeys(WAYS, "stayed")})


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m"


def test_what_a_row_says_does_not_drive_the_terminal(new_room: Callable[..., Room]) -> None:
    room = new_room()
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, %s, 'a')", f"name {ESCAPES}")
    room.execute(
        "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
        "VALUES (%s, 1, %s, 'f', %s, %s, 1, '2024-01-01'), ('elsewhere', 1, 'x', 'f', %s, 'k', 1, '2024-01-01')",
        f"id {ESCAPES}", f"name {ESCAPES}", room.shared, f"key {ESCAPES}", f"bucket {ESCAPES}",
    )  # fmt: skip
    for command in (
        ("plan", "a"), ("migrate", "a"), ("status",), ("status", "a"), ("status", "a", "--errors"), ("verify", "a"),
        ("migrate", f"nobody {ESCAPES}"), ("accept", "a", f"nothing {ESCAPES}", "--reason", "x"), ("rollback", "a"), ("cleanup",),
    ):  # fmt: skip
        printed = room.command(*command).printed
        assert not set(printed) & {"\x1b", "\x07", "\x9b"}, f"{command}: {printed!r}"


def test_an_object_under_a_customers_key_stays_and_is_told(new_room: Callable[..., Room]) -> None:
    """S3 answers 400 to whoever reads such an object without the key; this server has no such objects."""
    room = new_room()
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    for document_id in ("plain", "under-a-key"):
        room.upload(document_id, document_id.encode())
    sentence = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided"

    def refuse(request: Request) -> Reply | None:
        reads = "in/under-a-key" in unquote(request.head.decode("latin-1")) and request.operation in (
            "CopyObject",
            "HEAD object",
        )
        return Reply(400, b"" if request.method == "HEAD" else error("InvalidRequest", sentence)) if reads else None

    room.storage.before = refuse
    for command, status, home in (
        (("migrate", "a"), 1, True),
        (("rollback", "a"), 0, False),
        (("migrate", "a"), 1, True),
        (("finish", "a", "--after", "0", "--yes"), 1, True),
    ):
        ended = room.relayed(*command)
        assert ended.status == status, ended
        pointers = room.pointers()
        assert pointers["under-a-key"] == (room.shared, "in/under-a-key"), command
        assert (pointers["plain"][0] == room.homes()[0]) is home, command
        assert set(room.objects(room.homes()[0])) == {"documents/plain/plain.txt"}, command
        assert unreadable(room) == [], command
        told = room.command("status", "a", "--errors").printed
        assert ("InvalidRequest" in told and "under-a-key" in told) is home, (command, told)
    assert set(room.objects(room.shared)) == {"in/under-a-key"}


def test_a_slug_like_markup_is_shown_as_it_is(new_room: Callable[..., Room]) -> None:
    room = new_room()
    for number, slug in enumerate(("[/red]", "[bold]x", ESCAPES)):
        room.execute("INSERT INTO tenants (name, slug) VALUES (%s, %s)", slug, slug)
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
            "SELECT %s, id, 'x', 'f', %s, %s, 1 FROM tenants WHERE slug = %s",
            f"d{number}", room.shared, room.put_with_metadata(room.shared, f"k{number}", b"x") and f"k{number}", slug,
        )  # fmt: skip
    master, terminal = pty.openpty()
    arguments = [sys.executable, "-m", "rehouse", "migrate-all"]
    environment = room.environment() | {"TERM": "xterm-256color"}
    process = subprocess.Popen(arguments, env=environment, cwd="/", stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    drawn = b""
    with contextlib.suppress(OSError):  # so the end of a terminal is told
        while read := os.read(master, 65536):
            drawn += read
    os.close(master)
    printed = process.communicate()[0]
    assert process.returncode == 0, drawn + printed
    assert b"[/red]" in printed
    assert b"\x1b]0;" not in drawn + printed
