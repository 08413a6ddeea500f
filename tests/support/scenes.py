"""The scenes that are disturbed: what was before a command, the command, and what must be after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.support.closing_questions import altered, doubled, recount, usage
from tests.support.data_room import LARGE_BYTES, SHARED, Room


@dataclass(frozen=True)
class Scene:
    """A command that is disturbed: what was before it, and what must be after it."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[Room], None]
    ends: Callable[[Room], None]
    is_bare: bool = False
    is_known: bool = False
    """Whether other scenes begin alike: then its moments begin with its first change."""
    or_says: str | None = None
    """What a second run may refuse with, where the first one had done all of it."""


def lay_out(room: Room) -> None:
    """Five documents: one of several parts, one without a bucket, one with a key that bites."""
    room.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'A', 'a')")
    room.upload("one", b"first")
    room.upload("two", b"second", null_bucket=True)
    room.upload("three", b"third", key="in/a b+c%2Fü?#.txt")
    room.upload("empty", b"")
    room.upload("large", b"l" * (LARGE_BYTES + 1000))
    room.sources = room.objects(room.shared)


def migrated(room: Room) -> None:
    """The tenant has moved, and the application has gone on since, a moment ago."""
    lay_out(room)
    room.done("migrate", "a")
    room.overwrite("one", b"first, overwritten at home")
    room.upload("born", b"born at home", key="in/born/somewhere")


def overwritten_late(room: Room) -> None:
    """Somebody wrote over a source after its document had moved."""
    lay_out(room)
    room.done("migrate", "a")
    room.put_with_metadata(room.shared, "in/two", b"second, written late")
    room.late["two"], room.bodies["two"] = room.bodies["two"], b"second, written late"


def verified(room: Room) -> None:
    """The tenant's documents are copied and verified, and nothing is switched yet."""
    lay_out(room)
    room.done("migrate", "a", "--until", "verified")


def rolled_back(room: Room) -> None:
    """The tenant came back with what was written at home, and its bucket may go at once."""
    room.more["REHOUSE_GRACE_DAYS"] = "0"
    migrated(room)
    room.done("rollback", "a")


def finished(room: Room) -> None:
    """Nothing is left in the shared bucket but older versions of what was there."""
    room.more["REHOUSE_GRACE_DAYS"] = "0"
    root = room.server.root()
    root.put_bucket_versioning(Bucket=room.shared, VersioningConfiguration={"Status": "Enabled"})
    lay_out(room)
    room.done("migrate", "a")
    room.done("finish", "a", "--after", "0", "--yes")


def opened(room: Room) -> None:
    """Somebody took away what protects the tenant's bucket."""
    lay_out(room)
    room.done("migrate", "a")
    root = room.server.root()
    root.delete_public_access_block(Bucket=room.current_home())
    root.delete_bucket_lifecycle(Bucket=room.current_home())
    root.put_bucket_versioning(Bucket=room.current_home(), VersioningConfiguration={"Status": "Suspended"})


def home_holds_what_rows_point_to(room: Room) -> None:
    """Every row points into the home, and nothing else is there."""
    pointers = room.pointers()
    assert {bucket for bucket, _ in pointers.values()} == {room.current_home()}
    assert set(room.objects(room.current_home())) == {key for _, key in pointers.values()}


def is_at_home(room: Room) -> None:
    """Every row points into the one home, which holds nothing else; the shared bucket is as it was."""
    assert room.homes() == [room.current_home()]
    home_holds_what_rows_point_to(room)
    assert room.rows("SELECT status, phase, error_message FROM s3_migrations") == [("completed", "cut_over", None)]
    states = room.rows("SELECT state, count(*) FROM s3_migration_documents GROUP BY 1")
    assert states == [("flipped", 5)]
    counted_once(room)


def is_ready(room: Room) -> None:
    """The schema is up to date, and what the tenant uses is counted."""
    assert "nothing to do" in room.command("init").printed
    assert usage(room) == recount(room)
    assert usage(room)[0] == len(room.bodies)


def source_is_untouched(room: Room) -> None:
    """Forward: at home, and the shared bucket holds what it held."""
    is_at_home(room)
    assert room.objects(room.shared) == room.sources


def counted_once(room: Room) -> None:
    """Nothing is there twice, the usage table says what a recount says, and no run's inventory is left."""
    twice = doubled(room)
    assert twice == [], (twice, room.pointers())
    assert usage(room) == recount(room)
    assert usage(room)[0] == len(room.bodies)
    assert altered(room) == []
    assert room.rows("SELECT count(*) FROM s3_inventory") == [(0,)]


def is_back(room: Room) -> None:
    """Every row points into the shared bucket, where nothing that was there was touched."""
    pointers = room.pointers()
    assert {bucket for bucket, _ in pointers.values()} == {room.shared} == {room.current_home()}
    now = room.objects(room.shared)
    assert room.sources.items() <= now.items()
    added = now.keys() - room.sources.keys()
    assert {key.split("/")[0] for key in added} == {"returned"}
    assert added <= {key for _, key in pointers.values()}
    assert room.rows("SELECT status, phase FROM s3_migrations") == [("rolled_back", "rolled_back")]
    counted_once(room)


def is_finished(room: Room) -> None:
    """Every row points into the home, and the shared bucket is empty."""
    assert room.objects(room.shared) == {}
    home_holds_what_rows_point_to(room)
    assert room.rows("SELECT status, phase FROM s3_migrations") == [("completed", "finished")]
    counted_once(room)


def is_back_without_a_home(room: Room) -> None:
    """As after the rollback, and the bucket that nobody used is gone."""
    is_back(room)
    assert room.homes() == []


def has_no_shared_bucket(room: Room) -> None:
    """Every row points into the home, and there is no shared bucket any more."""
    assert room.shared not in room.buckets()
    home_holds_what_rows_point_to(room)
    counted_once(room)


def is_closed_again(room: Room) -> None:
    """The audit finds nothing, and the documents are at home."""
    source_is_untouched(room)
    room.done("audit", "a")


DROP_HOME = ("rollback", "a", "--drop-bucket", "--yes")
DROP_SHARED = ("cleanup", "--drop-bucket", SHARED, "--yes")
FINISH = ("finish", "a", "--after", "0", "--yes")
SCENES = {
    scene.name: scene
    for scene in (
        Scene("init", ("init",), lay_out, is_ready, is_bare=True),
        Scene("migrate", ("migrate", "a"), lay_out, source_is_untouched),
        Scene("late write", ("migrate", "a"), overwritten_late, is_at_home),
        Scene("rollback", ("rollback", "a"), migrated, is_back),
        Scene("finish", FINISH, migrated, is_finished),
        Scene("cutover", ("cutover", "a", "--canary", "2"), verified, source_is_untouched, is_known=True),
        Scene("audit --fix", ("audit", "a", "--fix"), opened, is_closed_again, is_known=True),
        Scene(
            "rollback --drop-bucket",
            DROP_HOME,
            rolled_back,
            is_back_without_a_home,
            is_known=True,
            or_says="there is no bucket to remove",
        ),
        Scene(
            "cleanup --drop-bucket",
            DROP_SHARED,
            finished,
            has_no_shared_bucket,
            is_known=True,
            or_says="it does not exist",
        ),
    )
}
