"""Every interleaving of an operator with writers, crashes, lost locks and the clock; states seen before are not walked again.

A generator cannot be copied, so a branch is reached by replaying its schedule. A state is the world and where each actor
stands: what it remembers and its place in the code (no actor keeps anything across steps but in its variables).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.model.ending import finish
from tests.model.forward import migrate
from tests.model.late import Steps
from tests.model.returning import rollback
from tests.model.world import HOME, SHARED, TENANT, Clause, Object, Row, Stopped, Violation, World, etag_of
from tests.model.writers import DOCUMENT, Writer, writes_late, writes_late_and_says_so

from rehouse.core.errors import Halt
from rehouse.core.lifecycle import DocumentState, Phase
from rehouse.core.model import ObjectRef

Command = Callable[[World], Steps]
OPERATOR = "operator"


@dataclass(frozen=True)
class Scenario:
    """What is played: commands in this order, writers, and how often the operator dies, loses its lock, or time passes.

    `gives_up`: what was interrupted is not run again, the next command is.
    `is_guarded`: S3 honours the condition on the target of a copy. `is_in_one_second`: S3 tells the same time of every object.
    """

    commands: tuple[Command, ...]
    writers: tuple[Writer, ...] = ()
    crashes: int = 0
    losses: int = 0
    ticks: int = 0
    after_zero: bool = False
    gives_up: bool = False
    is_guarded: bool = True
    is_in_one_second: bool = False
    off: frozenset[Clause] = frozenset()
    is_calm_first: bool = True


@dataclass
class Found:
    """What an exploration saw: distinct states, interleavings, and the first schedule that breaks a promise."""

    states: int = 0
    interleavings: int = 0
    violation: str | None = None
    schedule: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        steps = "".join(f"\n  {number:3}. {step}" for number, step in enumerate(self.schedule, start=1))
        return f"{self.violation}{steps}"


class Play:
    """One run of a scenario, a step at a time."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.world = _beginning(scenario)
        self.crashes, self.losses = scenario.crashes, scenario.losses
        self.actors: dict[str, Generator[str, None, None]] = {}
        self.next: dict[str, str] = {}
        self.has_begun = False
        self._restart()
        for writer in scenario.writers:
            self._enter(writer.__name__, writer(self.world, writer.__name__))

    def choices(self) -> list[str]:
        """Who may take the next step; also `crash`, `lose the lock` and `time passes`."""
        found = [name for name, label in self.next.items() if self._is_enabled(label)]
        if OPERATOR in self.actors and self.has_begun:
            found += ["crash"] * (self.crashes > 0) + ["lose the lock"] * (self.losses > 0)
        if self.world.day < self.scenario.ticks and not self.world.grants:
            found.append("time passes")
        return found

    def take(self, choice: str) -> str:
        """Take a step; return what it was. Raises Violation."""
        label = f"{choice}: {self.next[choice]}" if choice in self.next else choice
        if choice == "crash":
            self.crashes -= 1
            self._crash()
        elif choice == "lose the lock":
            self.losses -= 1
            self.actors["the run before"] = self.actors.pop(OPERATOR)
            self.next["the run before"] = self.next.pop(OPERATOR)
            self._go_on()
            self._restart()
        elif choice == "time passes":
            self.world.tick()
        else:
            self._advance(choice)
        self.world.check()
        return label

    def key(self) -> object:
        """The state, hashable: two plays with the same key have the same future."""
        ranks = {stamp: rank for rank, stamp in enumerate(sorted(each.stamp for each in self.world.objects.values()))}
        objects = frozenset(
            (ref, each.content, ranks[each.stamp], each.is_copy) for ref, each in self.world.objects.items()
        )
        known = {name: value for name, value in vars(self.world).items() if name not in ("objects", "off", "stamp")}
        actors = tuple((name, _place(actor)) for name, actor in self.actors.items())
        return objects, _frozen(known), actors, self.crashes, self.losses, self.has_begun

    @property
    def has_failed(self) -> bool:
        """Whether a run died or lost its lock: what it copied and could not write down may stay in a live home's way."""
        return self.crashes + self.losses < self.scenario.crashes + self.scenario.losses

    def _is_enabled(self, label: str) -> bool:
        return not (label.startswith("lock:") and label.removeprefix("lock:") in self.world.locks)

    def _enter(self, name: str, actor: Generator[str, None, None]) -> None:
        self.actors[name] = actor
        self.next[name] = next(actor)

    def _restart(self) -> None:
        self.has_begun = False
        if self.world.done < len(self.scenario.commands):
            self._enter(OPERATOR, self.scenario.commands[self.world.done](self.world))

    def _crash(self) -> None:
        owner = f"run {self.world.run}"
        self.world.locks = {row: each for row, each in self.world.locks.items() if each != owner}
        self._leave(OPERATOR)
        self._go_on()
        self._restart()

    def _go_on(self) -> None:
        """The last command is run again in any case."""
        is_last = self.world.done == len(self.scenario.commands) - 1
        self.world.done += self.scenario.gives_up and not is_last

    def _leave(self, name: str) -> None:
        self.actors.pop(name).close()
        del self.next[name]

    def _advance(self, name: str) -> None:
        label = self.next[name]
        if label.startswith("lock:") and label.removeprefix("lock:") not in self.world.rows:
            self._leave(name)
            return
        self.has_begun = self.has_begun or name == OPERATOR
        try:
            self.next[name] = next(self.actors[name])
        except (StopIteration, Stopped, Halt):
            self._leave(name)
            if name == OPERATOR:
                self.world.done += 1
                self._restart()


def explore(scenario: Scenario) -> Found:
    """Walk every interleaving, depth first; stop at the first that breaks a promise."""
    counts: dict[object, int] = {}
    schedule: list[str] = []

    def walk(play: Play) -> int:
        key = play.key()
        if key in counts:
            return counts[key]
        choices = play.choices() if scenario.is_calm_first else play.choices()[::-1]
        counts[key] = 0 if choices else _ended(play)
        for number, choice in enumerate(choices):
            branch = play if number == 0 else replayed(scenario, schedule)
            schedule.append(choice)
            branch.take(choice)
            counts[key] += walk(branch)
            schedule.pop()
        return counts[key]

    try:
        interleavings = walk(Play(scenario))
    except Violation as violation:
        return Found(len(counts), 0, str(violation), _told(scenario, schedule))
    return Found(len(counts), interleavings)


def replayed(scenario: Scenario, schedule: Sequence[str]) -> Play:
    """A play that went this way."""
    play = Play(scenario)
    for choice in schedule:
        play.take(choice)
    return play


def _told(scenario: Scenario, schedule: Sequence[str]) -> list[str]:
    play, told = Play(scenario), []
    try:
        for choice in schedule:
            told.append(f"{choice}: {play.next[choice]}" if choice in play.next else choice)
            play.take(choice)
    except Violation:
        return told
    return [*told, "everybody is done; the last command is run again"]


def _ended(play: Play) -> int:
    """Everybody is done: run the last command again, undisturbed, then nothing may be out of place."""
    world, last = play.world, play.scenario.commands[-1]
    for _ in range(2):
        world.tick()
        for _ in last(world):
            pass
        world.check()
    _check_ends(play, last)
    return 1


def _check_ends(play: Play, last: Command) -> None:
    """Both versions of a conflict are kept, and told, except after a way back under a new key: there they are only kept.

    After a way back no migration begins while somebody has to decide on a conflict: everything stays where it is.
    What is written late to a home that was left, while the tenant migrates again, is kept there and told as `target_taken`.
    """
    world = play.world
    is_late = rollback in play.scenario.commands and {writes_late, writes_late_and_says_so} & {*play.scenario.writers}
    is_refused = world.phase is Phase.ROLLED_BACK and any(line.error == "Conflict" for line in world.lines.values())
    for document, row in world.rows.items():
        heads = world.heads.get(document, frozenset())
        line = world.lines.get(document)
        is_conflict = line is not None and line.error == "Conflict"
        found = world.objects.get(row.at)
        is_kept_apart = last is rollback and line is not None and line.was_copied
        is_taken = bool(is_late) and line is not None and line.state is DocumentState.QUARANTINED
        is_wanted = found is not None and found.content in heads and (len(heads) == 1 or is_conflict or is_kept_apart)
        if found is None or not (is_wanted or is_taken):
            raise Violation(f"at the end {document} is {found and found.content}, wanted {sorted(heads)}, {line}")
        is_in_place = row.bucket == (SHARED if last is rollback else HOME)
        is_left = line is not None and line.state is DocumentState.QUARANTINED and play.has_failed
        is_told = is_conflict or is_taken or is_left or is_refused
        if row.tenant == TENANT and not is_in_place and not is_told:
            raise Violation(f"at the end {document} is in {row.bucket}, the tenant is {world.phase}: {line}")
    wanted = {migrate: Phase.CUT_OVER, rollback: Phase.ROLLED_BACK, finish: Phase.FINISHED}[last]
    is_told = any(line.error or line.state is DocumentState.QUARANTINED for line in world.lines.values())
    is_written = any(row.at == ref and row.etag != world.etag(ref) for row in world.rows.values() for ref in [row.at])
    if world.phase is not wanted and not is_told and not is_written:
        raise Violation(f"at the end the tenant is {world.phase}")
    if play.scenario.is_in_one_second:
        _check_doubled(world)
    for line in world.lines.values():
        if line.state is DocumentState.REMOVED and line.source in world.objects and not line.error:
            raise Violation(f"{line.source.key} was removed and is there")


def _check_doubled(world: World) -> None:
    """No content of a document was copied twice to the shared bucket."""
    copies = [each.content for ref, each in world.objects.items() if ref.key.startswith("returned/")]
    if len(copies) > len(set(copies)):
        raise Violation(f"copied back twice: {sorted(copies)}")


def _beginning(scenario: Scenario) -> World:
    world = World(scenario.off, scenario.after_zero, scenario.is_guarded, scenario.is_in_one_second)
    world.objects[ObjectRef(SHARED, "old")] = Object(1, 0)
    world.rows[DOCUMENT] = Row(TENANT, SHARED, "old", etag_of(1), 1)
    world.heads[DOCUMENT] = frozenset({1})
    world.check()
    return world


def _place(actor: Generator[str, None, None]) -> tuple[object, ...]:
    """Where a generator stands, with the generators that it waits for."""
    place: list[object] = []
    inner: Any = actor
    while inner is not None and inner.gi_frame is not None:
        place.append((inner.gi_code, inner.gi_frame.f_lasti, _frozen(inner.gi_frame.f_locals)))
        inner = inner.gi_yieldfrom
    return tuple(place)


def _frozen(value: Any) -> object:
    if isinstance(value, World):
        return None
    if isinstance(value, dict):
        return frozenset((key, _frozen(each)) for key, each in value.items())
    if isinstance(value, list):
        return tuple(_frozen(each) for each in value)
    return frozenset(value) if isinstance(value, set) else value
