"""A whole migration of a small data room, there, back, there again and finished: what a server or a database must be able to do."""

from __future__ import annotations

from typing import Any

from tests.support.data_room import Room

DOCUMENTS = 12
GUARD = "not guarded"


def migrate_there_and_back(room: Room) -> dict[str, Any]:
    """Migrate, roll back, migrate again and finish; return the report of the first migration."""
    room.more["REHOUSE_GRACE_DAYS"] = "0"
    room.lay_out(DOCUMENTS)
    before = _read(room)
    report: dict[str, Any] = room.json("migrate", "a")["tenants"][0]
    assert _read(room) == before
    assert _buckets(room) == {report["home_bucket"]}
    room.json("verify", "a")
    room.json("rollback", "a")
    assert _read(room) == before
    assert _buckets(room) == {room.shared}
    room.json("migrate", "a")
    room.json("finish", "a", "--after", "0", "--yes")
    assert _read(room) == before
    assert room.server.root().list_objects_v2(Bucket=room.shared).get("Contents", []) == []
    return report


def _read(room: Room) -> dict[str, bytes]:
    """Read every document as the application does."""
    root = room.server.root()
    rows = room.rows("SELECT id, coalesce(s3_bucket, %s), s3_key FROM documents", room.shared)
    return {row[0]: root.get_object(Bucket=row[1], Key=row[2])["Body"].read() for row in rows}


def _buckets(room: Room) -> set[str]:
    return {row[0] for row in room.rows("SELECT DISTINCT coalesce(s3_bucket, %s) FROM documents", room.shared)}
