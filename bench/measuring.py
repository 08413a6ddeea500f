"""Run a command as a process of its own on one core and tell what it cost; watch it over time; medians over rounds.

CPU is user + system of the whole process tree (what `wait4` says of the child and of every child that it waited for),
start-up included. Peak memory is that of the tree's largest process; `launcher.py` sees to it that it is the client's own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

CLIENT_CORE = 0
SERVER_CORE = 1
SAMPLED_SECONDS = 0.02
LAUNCHER = str(Path(__file__).with_name("launcher.py"))


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command cost."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    output: str

    def as_row(self) -> dict[str, float]:
        """Return the figures without the output."""
        return {name: value for name, value in asdict(self).items() if name != "output"}


class CommandFailedError(RuntimeError):
    """A measured command ended with an error: the benchmark would say nothing."""


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    core: int | None = CLIENT_CORE,
    statuses: Iterable[int] = (0,),
    started: Callable[[int], object] = lambda pid: None,
) -> Cost:
    """Run a command to its end on one core (None: on any); raise CommandFailedError for any other exit status."""
    with tempfile.TemporaryFile() as output:
        reading, writing = os.pipe()
        launcher = [sys.executable, "-I", "-S", LAUNCHER, str(writing), "any" if core is None else str(core)]
        child = subprocess.Popen(
            [*launcher, *command], env=dict(environment), stdout=output, stderr=subprocess.STDOUT, pass_fds=[writing]
        )
        os.close(writing)
        with os.fdopen(reading) as told:
            started(int(told.readline()))
            status, cpu_seconds, wall_seconds, peak_bytes = told.readline().split()
        child.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if int(status) not in set(statuses):
        raise CommandFailedError(f"{' '.join(command)[:200]} ended with {status}:\n{text[-3000:]}")
    return Cost(float(cpu_seconds), float(wall_seconds), int(peak_bytes), text)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on one core."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


class Watch:
    """Samples figures over time in a thread: a list of (epoch seconds, figures) for `sample(pid)`."""

    def __init__(self, sample: Callable[[int], tuple[float, ...]], seconds: float = SAMPLED_SECONDS) -> None:
        self._sample = sample
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.samples: list[tuple[float, tuple[float, ...]]] = []

    def start(self, pid: int) -> None:
        """Begin to watch a process."""
        self._thread = threading.Thread(target=self._watch, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        if self._thread:
            self._thread.join()

    def _watch(self, pid: int) -> None:
        while not self._ended.is_set():
            self.samples.append((time.time(), self._sample(pid)))
            self._ended.wait(self._seconds)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds: its median, smallest and largest."""

    median: float
    smallest: float
    largest: float

    def __str__(self) -> str:
        return f"{_shown(self.median)} ({_shown(self.smallest)}–{_shown(self.largest)})"


def spread(figures: Iterable[float]) -> Spread:
    """Return the spread of a figure over its rounds."""
    values = list(figures)
    return Spread(statistics.median(values), min(values), max(values))


def _shown(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
