"""What a server-side copy costs the client: rehouse's bulk plane, rehouse through the engine, and the peers, interleaved."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import measuring
from bench.measuring import Cost, Spread, spread
from bench.nginx import Nginx, missing, nginx
from bench.peers import BOTO3, ENGINE, PEERS, RCLONE, REHOUSE, S5CMD, Peer
from bench.result import Options, Result, in_rounds
from bench.servers import environment

COLUMNS = [
    "client",
    "objects",
    "µs CPU an object",
    "objects/s",
    "cores busy",
    "peak MB",
    "requests an object",
    "× rehouse",
]


class Measured(NamedTuple):
    """One run of one client."""

    cost: Cost
    objects: int
    requests: int

    @property
    def micros(self) -> float:
        """CPU an object."""
        return self.cost.cpu_seconds / self.objects * 1e6

    @property
    def rate(self) -> float:
        """Objects a second; rehouse tells how long the copying itself took, the others are timed from outside."""
        last = self.cost.output.strip().splitlines()[-1:] or [""]
        told = json.loads(last[0])["seconds"] if last[0].startswith('{"found"') else self.cost.wall_seconds
        return self.objects / float(told)


def run(options: Options) -> list[Result]:
    """Return a table at 0 ms with 64 in flight and one at 50 ms with 256."""
    lacking = missing()
    if lacking:
        return [Result("copy-0ms", "Plain copy", COLUMNS, notes=[f"skipped: {lacking}"])]
    none = _table(options, "copy-0ms", 0, 64, options.size(20_000, 100_000))
    some = _table(options, "copy-50ms", 50, 256, options.size(10_000, 60_000))
    return [none, some]


def _table(options: Options, name: str, latency_ms: int, in_flight: int, objects: int) -> Result:
    result = Result(name, f"Plain copy, {latency_ms} ms a request, {in_flight} in flight", COLUMNS)
    peers = [peer for peer in PEERS if peer.is_here]
    result.notes += [f"skipped: {peer.name} is not installed" for peer in PEERS if not peer.is_here]
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        runs = {}
        for peer in peers:
            count = max(1, int(objects * peer.share))
            server = servers.enter_context(nginx(count, latency_ms))
            runs[peer.name] = partial(_measure, peer, server, count, in_flight, Path(scratch))
        made = in_rounds(options.rounds, runs)
    result.figures["micros"] = {name: [each.micros for each in every] for name, every in made.items()}
    result.figures["rates"] = {name: [each.rate for each in every] for name, every in made.items()}
    base = spread(each.micros for each in made[REHOUSE]).median
    for peer_name, every in made.items():
        micros = spread(each.micros for each in every)
        result.add(
            peer_name,
            f"{every[0].objects:,}",
            micros,
            spread(each.rate for each in every),
            spread(each.cost.cpu_seconds / each.cost.wall_seconds for each in every),
            spread(each.cost.peak_bytes / 1e6 for each in every),
            f"{spread(each.requests / each.objects for each in every).median:.2f}",
            f"{micros.median / base:.1f}",
        )
    _goals(result, made, latency_ms)
    return result


def _measure(peer: Peer, server: Nginx, objects: int, in_flight: int, scratch: Path) -> Measured:
    before = server.requests()
    command = peer.command(server.url, objects, in_flight, scratch)
    cost = measuring.run(command, {**environment(server.url), **peer.settings(in_flight, scratch)})
    return Measured(cost, objects, server.requests() - before - 1)


def _goals(result: Result, made: dict[str, list[Measured]], latency_ms: int) -> None:
    bulk, engine = (spread(each.micros for each in made[name]) for name in (REHOUSE, ENGINE))
    if latency_ms:
        rates = spread(each.rate for each in made[REHOUSE])
        busy = spread(each.micros * each.rate / 1e6 for each in made[REHOUSE])
        result.goal("50 ms, 256 in flight, copies/s", "≥ 3,500", rates, reached=rates.median >= 3500)
        result.goal("50 ms, 256 in flight, cores", "< 0.5", busy, reached=busy.median < 0.5)
        return
    result.at_most("bulk plane, 0 ms, CPU a copy", 55, bulk, " µs")
    result.at_most("through the engine, CPU a copy", 85, engine, " µs")
    for subject, mine, peer, share in (
        ("bulk plane against s5cmd run", bulk, S5CMD, 14),
        ("bulk plane against rclone", bulk, RCLONE, 7),
        ("bulk plane against boto3", bulk, BOTO3, 22),
        ("engine against s5cmd run", engine, S5CMD, 10),
    ):
        if peer in made:
            _ratio(result, subject, mine, spread(each.micros for each in made[peer]), share)


def _ratio(result: Result, subject: str, mine: Spread, theirs: Spread, share: int) -> None:
    times = theirs.median / mine.median
    result.goal(subject, f"≤ 1/{share}", f"1/{times:.1f}", reached=times >= share)
