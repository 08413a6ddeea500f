"""What a server-side copy costs the client: rehouse's bulk plane, rehouse through the engine, and the peers, interleaved.

Slower clients get fewer objects, so each is also run with one object: what it costs to start is not divided by how many it got.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import measuring
from bench.clients.names import BOTO3, ENGINE, RCLONE, REHOUSE, S5CMD
from bench.measuring import Cost, Spread, spread
from bench.nginx import Nginx, missing, nginx
from bench.peers import PEERS, Peer
from bench.result import Options, Result, in_rounds
from bench.servers import environment

COLUMNS = [
    "client",
    "objects",
    "µs CPU an object",
    "without start-up",
    "start-up ms",
    "objects/s",
    "cores busy",
    "peak MB",
    "requests an object",
    "× rehouse",
    "× without start-up",
]
RATIOS = (
    ("bulk plane against s5cmd run", REHOUSE, S5CMD, 14),
    ("bulk plane against rclone", REHOUSE, RCLONE, 7),
    ("bulk plane against boto3", REHOUSE, BOTO3, 22),
    ("engine against s5cmd run", ENGINE, S5CMD, 10),
)
"""The goals: subject, rehouse's side, the peer, and which part of the peer's cost is wanted."""


class Measured(NamedTuple):
    """One client in one round: all its objects, and one object alone (in which nearly all is start-up)."""

    cost: Cost
    objects: int
    requests: int
    alone: Cost

    @property
    def micros(self) -> float:
        """CPU an object, start-up included."""
        return self.cost.cpu_seconds / self.objects * 1e6

    @property
    def further_micros(self) -> float:
        """CPU of each object after the first."""
        return (self.cost.cpu_seconds - self.alone.cpu_seconds) / (self.objects - 1) * 1e6

    @property
    def rate(self) -> float:
        """Objects a second, from the program's beginning to its end."""
        return self.objects / self.cost.wall_seconds

    @property
    def cores(self) -> float:
        """Cores busy."""
        return self.cost.cpu_seconds / self.cost.wall_seconds


Made = dict[str, list[Measured]]


def run(options: Options) -> list[Result]:
    """Return a table at 0 ms with 64 in flight and one at 50 ms with 256."""
    none = _table(options, "copy-0ms", 0, 64, options.size(20_000, 100_000))
    some = _table(options, "copy-50ms", 50, 256, options.size(10_000, 60_000))
    return [none, some]


def _table(options: Options, name: str, latency_ms: int, in_flight: int, objects: int) -> Result:
    result = Result(name, f"Plain copy, {latency_ms} ms a request, {in_flight} in flight", COLUMNS, options.rounds)
    made: Made = {}
    if lacking := missing():
        result.notes.append(f"skipped: {lacking}")
    else:
        result.notes += [f"skipped: {peer.name} is not installed" for peer in PEERS if not peer.is_here]
        made = _made(options.rounds, latency_ms, in_flight, objects)
        _rows(result, made)
    _goals_of_latency(result, made) if latency_ms else _goals(result, made)
    return result


def _made(rounds: int, latency_ms: int, in_flight: int, objects: int) -> Made:
    counts = {peer: int(objects * peer.share) for peer in PEERS if peer.is_here}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        listing = {count: servers.enter_context(nginx(count, latency_ms)) for count in {1, *counts.values()}}
        runs = {
            peer.name: partial(_measure, peer, listing[count], listing[1], count, in_flight, Path(scratch))
            for peer, count in counts.items()
        }
        return in_rounds(rounds, runs)


def _measure(peer: Peer, server: Nginx, server_of_one: Nginx, objects: int, in_flight: int, scratch: Path) -> Measured:
    alone = _cost(peer, server_of_one, 1, in_flight, scratch)
    before = server.requests()
    cost = _cost(peer, server, objects, in_flight, scratch)
    return Measured(cost, objects, server.requests() - before - 1, alone)


def _cost(peer: Peer, server: Nginx, objects: int, in_flight: int, scratch: Path) -> Cost:
    command = peer.command(server.url, objects, in_flight, scratch)
    return measuring.run(command, {**environment(server.url), **peer.settings(in_flight, scratch)})


def _rows(result: Result, made: Made) -> None:
    result.figures["micros"] = {name: [each.micros for each in every] for name, every in made.items()}
    result.figures["without_startup"] = {name: [each.further_micros for each in every] for name, every in made.items()}
    result.figures["rates"] = {name: [each.rate for each in every] for name, every in made.items()}
    base = spread(each.micros for each in made[REHOUSE]).median
    further_base = spread(each.further_micros for each in made[REHOUSE]).median
    for peer_name, every in made.items():
        micros, further = (spread(each.micros for each in every), spread(each.further_micros for each in every))
        result.add(
            peer_name,
            f"{every[0].objects:,}",
            micros,
            further,
            spread(each.alone.cpu_seconds * 1000 for each in every),
            spread(each.rate for each in every),
            spread(each.cores for each in every),
            spread(each.cost.peak_bytes / 1e6 for each in every),
            f"{spread(each.requests / each.objects for each in every).median:.2f}",
            f"{micros.median / base:.1f}",
            f"{further.median / further_base:.1f}",
        )


def _goals_of_latency(result: Result, made: Made) -> None:
    rates, cores = (_over(made, REHOUSE, figure) for figure in (lambda each: each.rate, lambda each: each.cores))
    result.goal("50 ms, 256 in flight, copies/s", "≥ 3,500", rates, reached=bool(rates and rates.median >= 3500))
    result.goal("50 ms, 256 in flight, cores", "< 0.5", cores, reached=bool(cores and cores.median < 0.5))


def _goals(result: Result, made: Made) -> None:
    result.at_most("bulk plane, 0 ms, CPU a copy", 55, _over(made, REHOUSE, lambda each: each.micros), " µs")
    result.at_most("through the engine, CPU a copy", 85, _over(made, ENGINE, lambda each: each.micros), " µs")
    for subject, mine, theirs, share in RATIOS:
        whole = _times(made, mine, theirs, lambda each: each.micros)
        further = _times(made, mine, theirs, lambda each: each.further_micros)
        shown = further and f"1/{further:.1f} (with start-up 1/{whole:.1f})"
        result.goal(f"{subject}, without start-up", f"≤ 1/{share}", shown, reached=bool(further and further >= share))


def _times(made: Made, mine: str, theirs: str, figure: Callable[[Measured], float]) -> float | None:
    ours, peers = _over(made, mine, figure), _over(made, theirs, figure)
    return peers.median / ours.median if ours and peers else None


def _over(made: Made, name: str, figure: Callable[[Measured], float]) -> Spread | None:
    return spread(figure(each) for each in made[name]) if name in made else None
