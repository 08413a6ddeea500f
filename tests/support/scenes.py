"""The scenes that are disturbed: what was before a command, the command, and what must be after it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.place import LARGE_BYTES, SHARED, Place


@dataclass(frozen=True)
class Scene:
    """A command that is disturbed: what was before it, and what must be after it."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[Place], None]
    ends: Callable[[Place], None]
    is_bare: bool = False
    is_known: bool = False
    """Whether other scenes begin alike: then its moments begin with its first change."""
    or_says: str | None = None
    """What a second run may refuse with, where the first one had done all of it."""


def lay_out(place: Place) -> None:
    """Five documents: one of several parts, one without a bucket, one with a key that bites."""
    place.world.execute("INSERT INTO tenants (id, name, slug) VALUES (1, 'A', 'a')")
    place.upload("one", b"first")
    place.upload("two", b"second", null_bucket=True)
    place.upload("three", b"third", key="in/a b+c%2Fü?#.txt")
    place.upload("empty", b"")
    place.upload("large", b"l" * (LARGE_BYTES + 1000))
    place.sources = place.objects(place.world.shared)


def migrated(place: Place) -> None:
    """The tenant has moved, and the application has gone on since: a second ago, for S3 tells times in seconds.

    A copy of what was uploaded in the same second is not known again after a kill, and is made once more beside it.
    """
    lay_out(place)
    place.done("migrate", "a")
    place.overwrite("one", b"first, overwritten at home")
    place.upload("born", b"born at home", key="in/born/somewhere")
    time.sleep(1.01 - time.time() % 1)


def overwritten_late(place: Place) -> None:
    """Somebody wrote over a source after its document had moved."""
    lay_out(place)
    place.done("migrate", "a")
    place.put(place.world.shared, "in/two", b"second, written late")
    place.late["two"], place.bodies["two"] = place.bodies["two"], b"second, written late"


def verified(place: Place) -> None:
    """The tenant's documents are copied and verified, and nothing is switched yet."""
    lay_out(place)
    place.done("migrate", "a", "--until", "verified")


def rolled_back(place: Place) -> None:
    """The tenant came back with what was written at home, and its bucket may go at once."""
    place.world.more["REHOUSE_GRACE_DAYS"] = "0"
    migrated(place)
    place.done("rollback", "a")


def finished(place: Place) -> None:
    """Nothing is left in the shared bucket but older versions of what was there."""
    place.world.more["REHOUSE_GRACE_DAYS"] = "0"
    root = place.world.server.root()
    root.put_bucket_versioning(Bucket=place.world.shared, VersioningConfiguration={"Status": "Enabled"})
    lay_out(place)
    place.done("migrate", "a")
    place.done("finish", "a", "--after", "0", "--yes")


def opened(place: Place) -> None:
    """Somebody took away what protects the tenant's bucket."""
    lay_out(place)
    place.done("migrate", "a")
    root = place.world.server.root()
    root.delete_public_access_block(Bucket=place.home)
    root.delete_bucket_lifecycle(Bucket=place.home)
    root.put_bucket_versioning(Bucket=place.home, VersioningConfiguration={"Status": "Suspended"})


def home_holds_what_rows_point_to(place: Place) -> None:
    """Every row points into the home, and nothing else is there."""
    pointers = place.pointers()
    assert {bucket for bucket, _ in pointers.values()} == {place.home}
    assert set(place.objects(place.home)) == {key for _, key in pointers.values()}


def is_at_home(place: Place) -> None:
    """Every row points into the one home, which holds nothing else; the shared bucket is as it was."""
    assert place.homes() == [place.home]
    home_holds_what_rows_point_to(place)
    assert place.world.rows("SELECT status, phase, error_message FROM s3_migrations") == [
        ("completed", "cut_over", None)
    ]
    states = place.world.rows("SELECT state, count(*) FROM s3_migration_documents GROUP BY 1")
    assert states == [("flipped", 5)]
    counted_once(place)


def is_ready(place: Place) -> None:
    """The schema is up to date, and what the tenant uses is counted."""
    assert "nothing to do" in place.command("init").printed
    assert place.usage() == place.recount()
    assert place.usage()[0] == len(place.bodies)


def source_is_untouched(place: Place) -> None:
    """Forward: at home, and the shared bucket holds what it held."""
    is_at_home(place)
    assert place.objects(place.world.shared) == place.sources


def counted_once(place: Place) -> None:
    """Nothing is there twice, the usage table says what a recount says, and no run's inventory is left."""
    doubled = place.doubled()
    assert doubled == [], (doubled, place.pointers())
    assert place.usage() == place.recount()
    assert place.usage()[0] == len(place.bodies)
    assert place.altered() == []
    assert place.world.rows("SELECT count(*) FROM s3_inventory") == [(0,)]


def is_back(place: Place) -> None:
    """Every row points into the shared bucket, where nothing that was there was touched."""
    pointers = place.pointers()
    assert {bucket for bucket, _ in pointers.values()} == {place.world.shared} == {place.home}
    now = place.objects(place.world.shared)
    assert place.sources.items() <= now.items()
    added = now.keys() - place.sources.keys()
    assert {key.split("/")[0] for key in added} == {"returned"}
    assert added <= {key for _, key in pointers.values()}
    assert place.world.rows("SELECT status, phase FROM s3_migrations") == [("rolled_back", "rolled_back")]
    counted_once(place)


def is_finished(place: Place) -> None:
    """Every row points into the home, and the shared bucket is empty."""
    assert place.objects(place.world.shared) == {}
    home_holds_what_rows_point_to(place)
    assert place.world.rows("SELECT status, phase FROM s3_migrations") == [("completed", "finished")]
    counted_once(place)


def is_back_without_a_home(place: Place) -> None:
    """As after the rollback, and the bucket that nobody used is gone."""
    is_back(place)
    assert place.homes() == []


def has_no_shared_bucket(place: Place) -> None:
    """Every row points into the home, and there is no shared bucket any more."""
    assert place.world.shared not in place.buckets()
    home_holds_what_rows_point_to(place)
    counted_once(place)


def is_closed_again(place: Place) -> None:
    """The audit finds nothing, and the documents are at home."""
    source_is_untouched(place)
    place.done("audit", "a")


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
