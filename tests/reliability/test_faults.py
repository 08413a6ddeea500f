"""Every kind of fault on every operation: the command succeeds, or says clearly what is wrong and the next run goes on.

Whatever happened, no document is unreadable at any time, and one more run without faults ends where an undisturbed one ends.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter

import pytest
from tests.support.closing_questions import unreadable
from tests.support.data_room import Room
from tests.support.faults import KINDS, LATE, Kind, Strike
from tests.support.sampling import only
from tests.support.scenes import SCENES, Scene
from tests.support.warm_process import Ended

SEED = 20261123
SHARES = (0.01, 0.1, 0.5)
SAMPLE = 3
WITH_S3 = [name for name in SCENES if name != "init"]
ON_OBJECTS = {"CopyObject", "HEAD object", "ListObjectsV2", "POST delete"}
STAYING = (
    "503 SlowDown",
    "500 InternalError",
    "reset before the server acted",
    "403 AccessDenied",
    "301 to another region",
)
WAY_OUT = re.compile(r"^  \w+: \S", re.MULTILINE)
"""In a report: a code, and what to do about it."""
SLOW = (
    ("migrate", "CopyObject"),
    ("migrate", "PUT bucket"),
    ("migrate", "UploadPartCopy"),
    ("migrate", "POST upload"),
    ("rollback", "CopyObject"),
    ("finish", "POST delete"),
)


def operations(new_room, scene: Scene) -> Counter[str]:
    """Return how often each operation is called when nothing disturbs the scene."""
    room = new_room(bare=scene.is_bare)
    scene.prepare(room)
    room.storage.seen.clear()
    ended = room.relayed(*scene.command)
    assert ended.status == 0, ended
    scene.ends(room)
    return Counter(request.operation for request in room.storage.seen)


def worth(new_room, name: str) -> list[str]:
    """Return the operations to strike: all of a migration's; of the other commands those on objects, and what only they call."""
    usual = operations(new_room, SCENES[name])
    if name == "migrate":
        return sorted(usual)
    return sorted(usual.keys() - operations(new_room, SCENES["migrate"]).keys() | usual.keys() & ON_OBJECTS)


def clear(ended: Ended) -> None:
    """A command either succeeds or ends with a status of its own, an error that has a hint, and no traceback."""
    assert ended.status in (0, 1, 2), ended
    assert "Traceback" not in ended.printed, ended.printed
    if ended.status:
        assert "hint: " in ended.printed.lower() or WAY_OUT.search(ended.printed), ended.printed


def disturbed(new_room, scene: Scene, strike: Strike) -> tuple[str, int]:
    """Play the scene under a strike, then once more in peace; return how the first run ended and how many requests it sent."""
    room: Room = new_room(bare=scene.is_bare)
    scene.prepare(room)
    room.storage.before, room.storage.after = (lambda request: None), (lambda request, reply: reply)
    room.storage.seen.clear()
    strike.on(room.storage)
    ended = room.relayed(*scene.command)
    sent = len(room.storage.seen)
    where = f"{scene.name}, {strike.kind.name} on {strike.operation}"
    assert strike.struck, f"{where}: nothing was struck"
    try:
        clear(ended)
        assert unreadable(room) == []
        if ended.status:
            again = room.command(*scene.command)
            assert again.status == 0, again
        room.swept()
        assert unreadable(room) == []
        scene.ends(room)
    except AssertionError as error:
        error.add_note(f"{where}: {ended}")
        raise
    return ("succeeded" if ended.status == 0 else "refused, and the next run succeeded"), sent


def seed_that_strikes(share: float, requests: int) -> int:
    """Return the first seed that strikes within the first half of so many requests: a storm that nobody meets proves nothing."""
    for seed in itertools.count(SEED):
        chance = random.Random(seed)
        if any(chance.random() < share for _ in range(requests // 2)):
            return seed
    raise AssertionError


@pytest.mark.parametrize("name", only(["cutover", "late write"], WITH_S3))
def test_a_few_faults(name, new_room):
    chance = random.Random(f"{SEED} {name}")
    known = sorted(operations(new_room, SCENES[name]))
    for kind in chance.sample(KINDS, SAMPLE):
        operation = chance.choice(known)
        print(
            f"seed {SEED}:",
            kind.name,
            operation,
            disturbed(new_room, SCENES[name], Strike(kind, operation)),
        )


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
@pytest.mark.parametrize("name", WITH_S3)
def test_every_fault_on_every_operation(name, kind, new_room, figure):
    usual = operations(new_room, SCENES[name])
    ends: Counter[str] = Counter()
    extra, struck = 0, worth(new_room, name)
    for operation in struck:
        ended, sent = disturbed(new_room, SCENES[name], Strike(kind, operation))
        ends[ended] += 1
        extra += max(0, sent - usual.total())
    figure("faults", scene=name, kind=kind.name, operations=len(struck), extra_requests=extra, **ends)


@pytest.mark.long
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", WITH_S3)
def test_a_storm(name, share, new_room, figure):
    usual = operations(new_room, SCENES[name])
    strike = Strike(KINDS[0], None, share=share, seed=seed_that_strikes(share, usual.total()))
    ended, sent = disturbed(new_room, SCENES[name], strike)
    figure("storms", scene=name, share=share, refused=strike.struck, extra_requests=sent - usual.total(), ended=ended)


@pytest.mark.long
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in STAYING], ids=STAYING)
def test_a_fault_that_stays(kind, new_room, figure):
    scene = SCENES["migrate"]
    usual = operations(new_room, scene)
    for operation in sorted(usual):
        _, sent = disturbed(new_room, scene, Strike(kind, operation, once=False))
        assert sent < usual.total() + 200, f"{kind.name} on {operation}: {sent} requests"
    figure("faults that stay", kind=kind.name, operations=len(usual), survived=len(usual))


@pytest.mark.long
@pytest.mark.parametrize(("name", "operation"), SLOW)
def test_an_answer_that_never_comes(name, operation, new_room, figure):
    usual = operations(new_room, SCENES[name]).total()
    ended, sent = disturbed(new_room, SCENES[name], Strike(LATE, operation))
    figure("faults", scene=name, kind=LATE.name, operations=1, extra_requests=max(0, sent - usual), **{ended: 1})


def test_every_kind_is_another():
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(isinstance(kind, Kind) and (kind.before or kind.after) for kind in KINDS)
