"""One whole command of rehouse on the stub and PostgreSQL, watched: CPU of client and server by step, requests, statements.

Ledger, progress and log are on, the log in a scratch file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench import database, measuring, processes, servers
from bench.measuring import Cost, Watch
from bench.servers import CountingPostgres, Stub, environment

BEGINNING = "start-up"
AFTER = {
    "planned": "provision",
    "provisioned": "survey and copy",
    "copied": "verify",
    "verified": "cut over",
    "cut_over": "cut over",
}
"""The phase that a tenant has reached → what the run does next."""


@dataclass
class WholeRun:
    """What a run cost. CPU in seconds, by step: (client, PostgreSQL). `memory`: (seconds since the beginning, bytes)."""

    cost: Cost
    server_cpu_seconds: float
    stub_cpu_seconds: float
    requests: dict[str, int]
    statements: database.Statements
    provisioned_at_once: int
    steps: dict[str, tuple[float, float]] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)

    @property
    def requests_total(self) -> int:
        """Return how many requests were sent in all."""
        return sum(self.requests.values())


def surroundings(server: CountingPostgres, stub: Stub, url: str) -> dict[str, str]:
    """Return the environment of a whole command: its log is a file beside the server's own folder."""
    return environment(stub.url, url, REHOUSE_LOG_FILE=str(server.folder.parent / "rehouse.log"))


def prepare(
    server: CountingPostgres, stub: Stub, url: str, rehouse: Callable[..., Sequence[str]] = servers.rehouse
) -> None:
    """Run `rehouse init`, once for a database; `rehouse` makes a command line of its arguments."""
    measuring.run(rehouse("init"), surroundings(server, stub, url))


def watched(
    arguments: Sequence[str],
    server: CountingPostgres,
    stub: Stub,
    url: str,
    *,
    slug: str | None = None,
    rehouse: Callable[..., Sequence[str]] = servers.rehouse,
) -> WholeRun:
    """Run `rehouse ARGUMENTS`; `slug` is the tenant whose phases divide the run, None: it is not divided."""
    database.forget_statements(url)
    before = stub.statistics()
    server_before = database.server_cpu_seconds(server)

    def sample(pid: int) -> tuple[float, ...]:
        return processes.cpu_seconds(pid), database.server_cpu_seconds(server), float(processes.resident_bytes(pid))

    watch = Watch(sample)
    began = time.time()
    try:
        cost = measuring.run(rehouse(*arguments), surroundings(server, stub, url), started=watch.start)
    finally:
        watch.stop()
    server_cpu = database.server_cpu_seconds(server) - server_before
    after = stub.statistics()
    run = WholeRun(
        cost,
        server_cpu,
        after["cpu_seconds"] - before["cpu_seconds"],
        _difference(after["requests"], before["requests"]),
        database.statements(url),
        after["provisioned_at_once"],
    )
    run.memory = [(round(at - began, 2), int(figures[2])) for at, figures in watch.samples if figures[2]]
    if slug:
        run.steps = _steps(watch, database.phases(url, slug), cost.cpu_seconds, server_before, server_cpu)
    return run


def _steps(
    watch: Watch, reached: list[tuple[str, float]], cpu: float, server_before: float, server_cpu: float
) -> dict[str, tuple[float, float]]:
    steps: dict[str, tuple[float, float]] = {}
    last, step = (0.0, 0.0), BEGINNING
    for phase, moment in reached:
        now = _at(watch, moment, server_before)
        _add(steps, step, now, last)
        last, step = now, AFTER.get(phase, phase)
    _add(steps, step, (cpu, server_cpu), last)
    return steps


def _add(steps: dict[str, tuple[float, float]], step: str, now: tuple[float, float], last: tuple[float, float]) -> None:
    before = steps.get(step, (0.0, 0.0))
    steps[step] = (before[0] + now[0] - last[0], before[1] + now[1] - last[1])


def _at(watch: Watch, moment: float, server_before: float) -> tuple[float, float]:
    passed = [figures for at, figures in watch.samples if at <= moment and figures[2]]
    return (passed[-1][0], passed[-1][1] - server_before) if passed else (0.0, 0.0)


def _difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {kind: count - before.get(kind, 0) for kind, count in after.items() if count > before.get(kind, 0)}
