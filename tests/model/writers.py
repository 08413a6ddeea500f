"""The application's writers, one step at a time, of the kinds that it may have; each obeys the five rules."""

from __future__ import annotations

from collections.abc import Callable, Generator

from tests.model.world import OTHER, SHARED, TENANT, Row, World, etag_of

from rehouse.core.model import ObjectRef

Writer = Callable[[World, str], Generator[str, None, None]]
DOCUMENT = "d1"


def overwrites(world: World, me: str) -> Generator[str, None, None]:
    """Kind 4: in place, under the row's lock from reading the object to the commit."""
    yield f"lock:{DOCUMENT}"
    world.lock(DOCUMENT, me)
    ref = world.rows[DOCUMENT].at
    read = world.objects[ref].content if ref in world.objects else None
    yield "overwrite in place"
    world.put(DOCUMENT, ref, 2, read=read)
    yield "commit the overwrite"
    world.rows[DOCUMENT] = world.rows[DOCUMENT]._replace(etag=etag_of(2), version=2)
    world.unlock(DOCUMENT, me)


def replaces(world: World, me: str, key: str = "new") -> Generator[str, None, None]:
    """Kind 4: a new key in the bucket that uploads go to, then the row."""
    yield "read the home"
    world.grants |= {me}
    ref = ObjectRef(world.home or SHARED, key)
    yield "upload under a new key"
    world.upload(ref, 3)
    yield f"lock:{DOCUMENT}"
    world.rows[DOCUMENT] = Row(TENANT, ref.bucket, ref.key, etag_of(3), 3)
    world.heads[DOCUMENT] = frozenset({3})
    world.grants -= {me}


def replaces_at_our_key(world: World, me: str) -> Generator[str, None, None]:
    """Kind 4: the application's new key is the one that rehouse would have chosen."""
    yield from replaces(world, me, "documents/d1/d1")


def inserts(world: World, me: str) -> Generator[str, None, None]:
    """A row whose upload arrives later (a cached home, a presigned PUT)."""
    yield "read the home"
    world.grants |= {me}
    ref = ObjectRef(world.home or SHARED, "inserted")
    yield "insert the row"
    world.rows["d2"] = Row(TENANT, ref.bucket, ref.key, None, None)
    yield "the upload arrives"
    world.put("d2", ref, 4)
    world.grants -= {me}


def deletes(world: World, me: str) -> Generator[str, None, None]:
    """The row first, then the object."""
    yield f"lock:{DOCUMENT}"
    ref = world.rows.pop(DOCUMENT).at
    yield "delete the object"
    world.objects.pop(ref, None)


def writes_late(world: World, me: str) -> Generator[str, None, None]:
    """Kind 5: a presigned PUT granted earlier, or an overwrite without the lock."""
    yield "read the pointer"
    row = world.rows.get(DOCUMENT)
    if row is None:
        return
    world.grants |= {me}
    ref, knew = row.at, world.objects[row.at].content
    yield "PUT through the pointer read before"
    if DOCUMENT in world.rows:
        world.put(DOCUMENT, ref, 5, [knew])
    world.grants -= {me}


def writes_late_and_says_so(world: World, me: str) -> Generator[str, None, None]:
    """Kind 5, and the row's ETag is written afterwards."""
    yield from writes_late(world, me)
    yield f"lock:{DOCUMENT}"
    if DOCUMENT in world.rows and any(5 in heads for heads in world.heads.values()):
        world.rows[DOCUMENT] = world.rows[DOCUMENT]._replace(etag=etag_of(5))


def there_and_back(world: World, me: str) -> Generator[str, None, None]:
    """Kind 4: something else in place, then the first bytes again (an undo); one transaction each."""
    for content in (6, 1):
        yield f"lock:{DOCUMENT}"
        world.lock(DOCUMENT, me)
        ref = world.rows[DOCUMENT].at
        yield f"overwrite in place with {content}"
        world.put(DOCUMENT, ref, content)
        yield "commit"
        world.rows[DOCUMENT] = world.rows[DOCUMENT]._replace(etag=etag_of(content))
        world.unlock(DOCUMENT, me)


def moves(world: World, me: str) -> Generator[str, None, None]:
    """The row goes to another tenant, its pointer as it is."""
    yield f"lock:{DOCUMENT}"
    world.rows[DOCUMENT] = world.rows[DOCUMENT]._replace(tenant=OTHER)


def duplicates(world: World, me: str) -> Generator[str, None, None]:
    """A second row on the same object: the pointer is read, the row inserted later, within the grace."""
    yield "read the pointer"
    world.grants |= {me}
    row = world.rows[DOCUMENT]
    yield "insert a second row with this pointer"
    world.rows["d2"] = row
    world.heads["d2"] = world.heads[DOCUMENT]
    world.grants -= {me}


def reuses(world: World, me: str) -> Generator[str, None, None]:
    """Another document under the key that the first one had, where no row has it any more: from a cached home.

    That the object is there before its row is no step of its own, and neither comes between the last look of a flip and its
    commit: nobody can tell whose it is then.
    """
    ref = ObjectRef(SHARED, world.rows[DOCUMENT].key)
    yield "read the home"
    world.grants |= {me} if world.home is None else frozenset()
    is_cached = world.home is None
    yield f"lock:{DOCUMENT}"
    if is_cached and all(row.at != ref for row in world.rows.values()):
        world.put("d2", ref, 7)
        world.rows["d2"] = Row(TENANT, ref.bucket, ref.key, etag_of(7), 7)
    world.grants -= {me}


WRITERS = (
    overwrites,
    replaces,
    inserts,
    deletes,
    writes_late,
    writes_late_and_says_so,
    there_and_back,
    moves,
    duplicates,
    reuses,
)
