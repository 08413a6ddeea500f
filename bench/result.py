"""What a benchmark found, as data: a table for people, figures for the charts, and the goals with whether they were reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from bench.measuring import Spread, spread

Made = TypeVar("Made")
NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: small sizes or whole ones, and how many rounds."""

    quick: bool
    rounds: int

    def size(self, quick: int, whole: int) -> int:
        """Return the size to run at."""
        return quick if self.quick else whole


@dataclass(frozen=True, slots=True)
class Goal:
    """A line of the goals: what is wanted, what was measured, and whether it was reached (None: it was not measured)."""

    subject: str
    wanted: str
    measured: str
    reached: bool | None


@dataclass
class Result:
    """One table, and in how many rounds it was measured. Cells are text, or a Spread over the rounds."""

    name: str
    title: str
    columns: list[str]
    rounds: int = 1
    rows: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append([str(cell) for cell in cells])

    def goal(self, subject: str, wanted: str, measured: object, *, reached: bool) -> None:
        """Add a line of the goals; what is None was not measured, and says so."""
        if measured is None:
            self.goals.append(Goal(subject, wanted, NOT_MEASURED, None))
        else:
            self.goals.append(Goal(subject, wanted, str(measured), reached))

    def at_most(self, subject: str, limit: float, measured: float | Spread | None, unit: str = "") -> None:
        """Add a goal: the median is at most `limit`."""
        value = spread([measured]) if isinstance(measured, float | int) else measured
        shown = f"{measured:,.2f}" if isinstance(measured, float | int) else str(measured)
        reached = value is not None and value.median <= limit
        self.goal(subject, f"≤ {limit:g}{unit}", value and f"{shown}{unit}", reached=reached)

    def as_object(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)


def in_rounds(rounds: int, runs: dict[str, Callable[[], Made]]) -> dict[str, list[Made]]:
    """Run everything once a round, in turn, so that a slow minute of the machine touches all alike; return what each made."""
    made: dict[str, list[Made]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            made[name].append(run())
    return made
