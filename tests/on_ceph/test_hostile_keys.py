"""Keys and names that bite, there and back again on a second server: every byte, every header, every tag."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.support import independent_check
from tests.support.data_room import Room

KEYS = (
    "plain.txt",
    "with space/and+plus.txt",
    "percent%20encoded%2Fslash.txt",
    "double//slash.txt",
    "/leading.txt",
    "trailing/",
    "dot/./segment.txt",
    "a/b/../c.txt",
    "question?mark&ampersand=1;semicolon.txt",
    "hash#fragment.txt",
    "quotes'\"<>`.txt",
    "brackets[]{}()^~|\\.txt",
    "comma,colon:at@dollar$star*bang!.txt",
    "äöü-composed.txt",
    "a\u0308o\u0308-decomposed.txt",
    "日本語/ファイル.txt",
    "emoji-🙈.txt",
    "tab\there.txt",
    "newline\nhere.txt",
    "zero\u200bwidth.txt",
    "right\u202eto-left.txt",
    "x" * 1024,
    "é" * 512,
)
BODY = b"the bytes of %d"


@pytest.fixture(scope="module")
def room(new_room: Callable[..., Room]) -> Room:
    """One tenant with a document for each key; each object has headers, metadata and tags."""
    made = new_room("integer")
    made.execute("ALTER TABLE documents ALTER COLUMN s3_key TYPE text")
    made.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'a', 'a')")
    root = made.server.root()
    for number, key in enumerate(KEYS):
        root.put_object(
            Bucket=made.shared,
            Key=key,
            Body=BODY % number,
            ContentType="text/plain; charset=utf-8",
            ContentDisposition='attachment; filename="a b.txt"',
            CacheControl="no-store",
            Metadata={"number": str(number), "odd": "a+b%20c"},
            Tagging=f"number={number}&odd=a%20b",
        )
        made.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size) "
            "VALUES (%s, 1, %s, 'f', %s, %s, 1)",
            f"d{number}",
            key.replace("\n", "")[-400:],
            made.shared,
            key,
        )
    return made


def documents(room: Room) -> dict[str, tuple[str, independent_check.Row]]:
    """Return id → the bucket and everything that the object is."""
    root = room.server.root()
    rows = room.rows("SELECT id, s3_bucket, s3_key FROM documents")
    return {row[0]: (row[1], independent_check.read(root, row[1], row[2])["content"]) for row in rows}


@pytest.mark.long
@pytest.mark.sample
def test_every_key_goes_home_and_back(room: Room) -> None:
    before = {name: content for name, (_, content) in documents(room).items()}
    objects = independent_check.objects_of(room.server.root(), room.shared)
    done = room.run("migrate", "a")
    assert done.returncode == 0, done.stdout + done.stderr
    home = room.rows("SELECT aws_bucket_name FROM tenants")[0][0]
    moved = documents(room)
    assert {bucket for bucket, _ in moved.values()} == {home}
    assert {name: content for name, (_, content) in moved.items()} == before
    assert independent_check.objects_of(room.server.root(), room.shared) == objects, "the source is only read"
    assert room.run("verify", "a", "--deep").returncode == 0
    returned = room.run("rollback", "a")
    assert returned.returncode == 0, returned.stdout + returned.stderr
    back = documents(room)
    assert {bucket for bucket, _ in back.values()} == {room.shared}
    assert {name: content for name, (_, content) in back.items()} == before
