"""Conditions on what copies write: a home that the application writes to meanwhile, a server that takes no condition."""

from __future__ import annotations

from tests.support.data_room import Room
from tests.support.faults import refusal
from tests.support.http_relay import Before, Reply, Request

TARGET = "documents/a/a.txt"


def adopted(room: Room) -> str:
    """Give the tenant a home where the application writes already; return its name."""
    home = f"{room.settings.bucket_prefix}-adopted"
    room.root.create_bucket(Bucket=home)
    room.sql("UPDATE tenants SET aws_bucket_name = %s", home)
    return home


def appearing(room: Room, home: str, *, times: int, operation: str = "CopyObject") -> Before:
    """Return a rule: something is written to the target of `a` just before each of its first copies is looked at."""
    written: list[bytes] = []

    def write(request: Request) -> None:
        is_first_part = request.query.get("partNumber", ["1"]) == ["1"]
        is_meant = (request.operation, request.bucket, request.key) == (operation, home, TARGET) and is_first_part
        if is_meant and len(written) < times:
            written.append(b"somebody's, %d" % len(written))
            room.put(TARGET, written[-1], bucket=home)

    return write


def unconditional(request: Request) -> Reply | None:
    """A rule: what makes an object takes no condition."""
    has_condition = {"if-none-match", "if-match"} & request.headers.keys()
    is_copy = request.operation in {"CopyObject", "POST upload"}
    return refusal(501, "NotImplemented")(request) if has_condition and is_copy else None
