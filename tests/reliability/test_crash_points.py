"""Every moment at which a command can die: it is killed there, run again, and nothing is lost, doubled or left over."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from tests.support.crash import crash_once, first_change, moments_of
from tests.support.sampling import only
from tests.support.scenes import SCENES, Scene

SEED = 20261123
SAMPLE = 3
PARTS = 4


def play(new_room, scene: Scene, at: int | None) -> str | None:
    """Play a scene in a room of its own."""
    return crash_once(scene, new_room(bare=scene.is_bare), at)


def moments(new_room, scene: Scene) -> list[str]:
    """Return the moments of an undisturbed scene."""
    return moments_of(scene, new_room(bare=scene.is_bare))


@pytest.mark.parametrize("name", only(["migrate", "rollback"], SCENES))
def test_killed_at_a_few_moments(name, new_room):
    scene = SCENES[name]
    known = moments(new_room, scene)
    among = range(first_change(known), len(known) - 10)  # two runs differ by a few calls
    chosen = random.Random(f"{SEED} {name}").sample(among, SAMPLE)
    died = [play(new_room, scene, moment) for moment in chosen]
    print(f"seed {SEED}:", died)
    assert all(died)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_moment(name, part, new_room, figure):
    scene = SCENES[name]
    known = moments(new_room, scene)
    first = first_change(known) if scene.is_known else 0
    moment = part + first
    died: Counter[str] = Counter()
    while (what := play(new_room, scene, moment)) is not None:
        died[what] += 1
        moment += PARTS
    assert abs(moment - len(known)) <= PARTS + 10
    figure("crash points", scene=name, part=part, moments=len(known) - first, survived=died.total())
