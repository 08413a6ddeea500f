"""A whole migration of a small world, there, back, there again and finished: what a server or a database must be able to do."""

from __future__ import annotations

from typing import Any

from tests.support.command import World

DOCUMENTS = 12
GUARD = "not guarded"


def migrate_there_and_back(world: World) -> dict[str, Any]:
    """Migrate, roll back, migrate again and finish; return the report of the first migration."""
    world.more["REHOUSE_GRACE_DAYS"] = "0"
    world.lay_out(DOCUMENTS)
    before = _read(world)
    report: dict[str, Any] = world.json("migrate", "a")["tenants"][0]
    assert _read(world) == before
    assert _buckets(world) == {report["home_bucket"]}
    world.json("verify", "a")
    world.json("rollback", "a")
    assert _read(world) == before
    assert _buckets(world) == {world.shared}
    world.json("migrate", "a")
    world.json("finish", "a", "--after", "0", "--yes")
    assert _read(world) == before
    assert world.server.root().list_objects_v2(Bucket=world.shared).get("Contents", []) == []
    return report


def _read(world: World) -> dict[str, bytes]:
    """Read every document as the application does."""
    root = world.server.root()
    rows = world.rows("SELECT id, coalesce(s3_bucket, %s), s3_key FROM documents", world.shared)
    return {row[0]: root.get_object(Bucket=row[1], Key=row[2])["Body"].read() for row in rows}


def _buckets(world: World) -> set[str]:
    return {row[0] for row in world.rows("SELECT DISTINCT coalesce(s3_bucket, %s) FROM documents", world.shared)}
