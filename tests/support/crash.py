"""The crash harness: the command is killed at one moment of its life, run again, and the same questions are asked each time.

A moment lies before or after a call to S3 or PostgreSQL; "after" means that the server has done it and rehouse has not heard of
it. The questions: is every document readable as its row says, with its own bytes, right after the kill and at the end; is the
tenant where the command takes it; is nothing counted twice, nothing left over, no second bucket; was the source only read?
"""

from __future__ import annotations

import signal

from tests.support.closing_questions import unreadable
from tests.support.data_room import Room
from tests.support.killer import Killer
from tests.support.scenes import Scene

CHANGES = ("PUT", "POST", "DELETE", "Copy", "INSERT", "UPDATE", "CREATE", "TRUNCATE")


def moments_of(scene: Scene, room: Room) -> list[str]:
    """Play the scene undisturbed; return all its moments, in order."""
    scene.prepare(room)
    killer = Killer()
    ended = room.command(*scene.command, killer=killer)
    assert ended.status == 0, ended
    scene.ends(room)
    return killer.moments


def first_change(moments: list[str]) -> int:
    """Return the first moment at which something may be changed: before it the command only looks."""
    return next(at for at, moment in enumerate(moments) if any(word in moment for word in CHANGES))


def crash_once(scene: Scene, room: Room, at: int | None) -> str | None:
    """Play the scene with a kill at one moment; return that moment's name, None if the command ended before it."""
    scene.prepare(room)
    killer = Killer(at)
    ended = room.command(*scene.command, killer=killer)
    if at is None or len(killer.moments) <= at:
        assert ended.status == 0, ended
        room.swept()
        assert unreadable(room) == []
        scene.ends(room)
        return None
    where = f"killed at moment {at}: {killer.moments[at]}"
    assert ended.status == -signal.SIGKILL, (where, ended)
    assert unreadable(room) == [], where
    again = room.command(*scene.command)
    is_over = scene.or_says is not None and scene.or_says in again.printed
    assert again.status == 0 or is_over, (where, again)
    room.swept()
    assert unreadable(room) == [], f"{where}, and run again"
    try:
        scene.ends(room)
    except AssertionError as error:
        error.add_note(f"{where}, and run again: {again.printed}")
        raise
    return killer.moments[at]
