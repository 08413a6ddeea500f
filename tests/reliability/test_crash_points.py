"""Every moment at which a command can die: it is killed there, run again, and nothing is lost, doubled or left over."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from tests.reliability.crash import crash_once
from tests.reliability.scenes import SCENES, Scene

SEED = 20261123
SAMPLE = 6
PARTS = 4


def play(new_place, scene: Scene, at: int | None) -> str | None:
    """Play a scene in a place of its own."""
    return crash_once(scene, new_place(bare=scene.is_bare), at)


@pytest.mark.parametrize("name", SCENES)
def test_killed_at_a_few_moments(name, new_place):
    chance = random.Random(f"{SEED} {name}")
    died = [play(new_place, SCENES[name], moment) for moment in chance.sample(range(60), SAMPLE)]
    print(f"seed {SEED}:", died)
    assert all(died)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SCENES)
def test_killed_at_every_moment(name, part, new_place, figure):
    died: Counter[str] = Counter()
    moment = part
    while (what := play(new_place, SCENES[name], moment)) is not None:
        died[what] += 1
        moment += PARTS
    survived = died.total()
    assert survived > 10
    figure("crash points", scene=name, part=part, survived=survived, of=survived)
