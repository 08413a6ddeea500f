"""Damage in a tenant's bucket, and which look catches it: before the flip, `verify`, `verify --deep`. Misses are stated too.

Before the flip means: the copy is damaged after it was made, and the same command goes on. Caught is then repaired: the
document ends at home with its own bytes, headers, metadata and tags.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.closing_questions import unreadable
from tests.support.data_room import LARGE_BYTES, LIKE, Room
from tests.support.envelope import result_of
from tests.support.sampling import only

BODIES = {"small": b"the bytes of a small document", "large": b"0123456789" * (LARGE_BYTES // 10 + 7)}
OLDER = {name: body[::-1] for name, body in BODIES.items()}

Damage = Callable[[Room, str, str, str], None]


def rewritten(body: Callable[[bytes], bytes] = bytes, **other: Any) -> Damage:
    """Put the object again with another body or other properties."""

    def damage(room: Room, name: str, bucket: str, key: str) -> None:
        properties = {name: value for name, value in (LIKE | other).items() if value is not None}
        room.server.root().put_object(Bucket=bucket, Key=key, Body=body(BODIES[name]), **properties)

    return damage


def flip_a_byte(body: bytes) -> bytes:
    """One bit, in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def swap(room: Room, name: str, bucket: str, key: str) -> None:
    """Exchange it with its neighbour of the same size."""
    root = room.server.root()
    other = next(each for each in room.objects(bucket) if f"/{name}-twin/" in each)
    bodies = [root.get_object(Bucket=bucket, Key=each)["Body"].read() for each in (other, key)]
    for each, body in zip((key, other), bodies, strict=True):
        root.put_object(Bucket=bucket, Key=each, Body=body, **LIKE)


def remove(room: Room, name: str, bucket: str, key: str) -> None:
    """The object is gone."""
    room.server.root().delete_object(Bucket=bucket, Key=key)


def add(room: Room, name: str, bucket: str, key: str) -> None:
    """An object that no row points to."""
    room.put_with_metadata(bucket, f"{key}.extra", b"nobody's")


DAMAGES: dict[str, Damage] = {
    "one bit flipped": rewritten(flip_a_byte),
    "last byte cut off": rewritten(lambda body: body[:-1]),
    "emptied": rewritten(lambda body: b""),
    "two objects swapped": swap,
    "an older version of it": rewritten(lambda body: body[::-1]),
    "gone": remove,
    "an extra object": add,
    "wrong Content-Type": rewritten(ContentType="application/octet-stream"),
    "metadata lost": rewritten(Metadata=None),
    "tags lost": rewritten(Tagging=None),
}
LOOKS = ("before the flip", "verify", "verify --deep")
BYTES_DIFFER = frozenset(DAMAGES) - {"wrong Content-Type", "metadata lost", "tags lost", "an extra object"}


def lay_out(room: Room, name: str) -> None:
    """The document and a twin of its size."""
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'A', 'a')")
    for document_id, body in ((name, BODIES[name]), (f"{name}-twin", BODIES[name].upper()[::-1].swapcase())):
        key = f"in/{document_id}"
        room.server.root().put_object(Bucket=room.shared, Key=key, Body=body, **LIKE)
        room.execute(
            "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, size, uploaded_at) "
            "VALUES (%s, 1, %s, 'f', %s, %s, 1, '2024-01-01')",
            document_id, f"{document_id}.txt", room.shared, key,
        )  # fmt: skip
        room.bodies[document_id] = body


def properties(room: Room, document_id: str) -> tuple[Any, ...]:
    """Everything that makes up a document."""
    root = room.server.root()
    bucket, key = room.pointers()[document_id]
    found = root.get_object(Bucket=bucket, Key=key)
    tags = {each["Key"]: each["Value"] for each in root.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]}
    return found["Body"].read(), found["ContentType"], found["Metadata"], tags


def caught(room: Room, name: str, damage: Damage, look: str) -> bool:
    """Do the damage and look; return whether it was noticed."""
    lay_out(room, name)
    whole = properties(room, name)
    room.done("migrate", "a", *(("--until", "copied") if look == LOOKS[0] else ()))
    bucket = room.homes()[0]
    damage(room, name, bucket, next(key for key in room.objects(bucket) if f"/{name}/" in key))
    if look != LOOKS[0]:
        ended = room.command("verify", "a", *look.split(" ")[1:], "--output", "json")
        assert ended.status in (0, 1), ended
        report = result_of(ended.printed)["tenants"][0]
        assert bool(report["problems"]) == (ended.status == 1) or report["drift"]
        return ended.status == 1 or bool(report["extra"])
    ended = room.command("migrate", "a")
    assert ended.status == 0, ended
    assert unreadable(room) == []
    return properties(room, name) == whole and not any(key.endswith(".extra") for key in room.objects(bucket))


@pytest.mark.parametrize("name", only(["small"], BODIES))
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_caught(damage, name, new_room, figure):
    seen = {look: caught(new_room(), name, DAMAGES[damage], look) for look in LOOKS}
    figure("corruption", damage=damage, object=name, **seen)
    if damage in BYTES_DIFFER:
        assert all(seen.values()), "bytes that differ are always caught"
    assert seen["verify --deep"], "--deep sees everything"
