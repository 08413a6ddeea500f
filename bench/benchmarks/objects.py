"""One object at a time, as an application handles them: a URL, 4 KB up and down, a large object up and down, by each client.

All clients meet the same server, which costs next to nothing, over plain HTTP on the loopback, in turn within each round. CPU is
that of the client's process (user and system, all its threads) for the work alone: start-up and warm-up are left out.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import NamedTuple

from bench import measuring
from bench.clients.objects import CLIENTS
from bench.measuring import spread
from bench.nginx import missing
from bench.object_server import object_server
from bench.peers import TOOLS
from bench.result import Options, Result, in_rounds
from bench.servers import environment

REHOUSE, BOTO3 = "rehouse", "boto3"
IN_TOOLS = frozenset({"obstore", "opendal"})
"""Clients of the benchmarks' own environment; the others are packages of the project's."""
SMALL_COLUMNS = ["client", "µs CPU a URL", "µs CPU a put", "µs CPU a get", "puts/s", "gets/s"]
LARGE_COLUMNS = ["client", "MB/s up", "CPU s a GB up", "MB/s down", "CPU s a GB down", "peak MB"]
GB = 1e9


class Work(NamedTuple):
    """What one client did: so many operations, or bytes, in so many seconds."""

    count: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def micros(self) -> float:
        """Microseconds of CPU an operation."""
        return self.cpu_seconds / self.count * 1e6

    @property
    def rate(self) -> float:
        """Operations, or bytes, a second."""
        return self.count / self.seconds


Made = dict[tuple[str, str], list[Work]]
"""(client, work) → its rounds."""


def run(options: Options) -> list[Result]:
    """Return two tables: small objects and URLs, and one large object."""
    size = options.size(64 * 1024**2, 1024**3)
    counts = {
        "url": options.size(2_000, 20_000), "put": options.size(200, 3_000), "get": options.size(200, 3_000),
        "up": size, "down": size,
    }  # fmt: skip
    small = Result("objects", "Single objects of 4 KB, and presigned URLs", SMALL_COLUMNS, options.rounds)
    large = Result("objects-large", f"One object of {size / GB:.2f} GB", LARGE_COLUMNS, options.rounds)
    if lacking := missing():
        small.notes.append(f"skipped: {lacking}")
        return [small]
    here = [client for client in CLIENTS if is_here(client)]
    small.notes += [f"{client}: not installed" for client in CLIENTS if client not in here]
    with object_server(size) as url:
        runs = dict(_runs(here, counts, url))
        made = in_rounds(options.rounds, runs)
    fill_small(small, here, made)
    fill_large(large, here, made)
    return [small, large]


def is_here(client: str) -> bool:
    """Return whether the client is installed where it is looked for."""
    if client not in IN_TOOLS:
        return True
    return (
        bool(list(TOOLS.parent.glob(f"lib/python*/site-packages/{client}")))
        and shutil.which(_python(client)) is not None
    )


def fill_small(result: Result, clients: list[str], made: Made) -> None:
    """Add a row for each client, and the goals."""
    for client in clients:
        url, put, get = (made[client, work] for work in ("url", "put", "get"))
        result.add(
            client,
            *(spread(each.micros for each in works) for works in (url, put, get)),
            *(spread(each.rate for each in works) for works in (put, get)),
        )
    micros = {
        work: {client: [each.micros for each in made[client, work]] for client in clients}
        for work in ("url", "put", "get")
    }
    result.figures["micros"] = micros
    result.at_most(
        "a presigned download URL with a file name, no request", 15, spread(micros["url"][REHOUSE]), " µs CPU"
    )
    for work, subject in (("put", "a put of 4 KB"), ("get", "a get of 4 KB")):
        share = median(micros[work][REHOUSE]) / median(micros[work][BOTO3])
        result.goal(f"{subject}: CPU against boto3's", "≤ 1/3", f"1/{1 / share:.1f}", reached=share <= 1 / 3)


def fill_large(result: Result, clients: list[str], made: Made) -> None:
    """Add a row for each client, and the goals."""
    for client in clients:
        up, down = (made[client, work] for work in ("up", "down"))
        cells = []
        for works in (up, down):
            cells += [
                spread(each.rate / 1e6 for each in works),
                spread(each.cpu_seconds / each.count * GB for each in works),
            ]
        result.add(
            client, *cells, spread(max(one.peak_bytes, two.peak_bytes) / 1e6 for one, two in zip(up, down, strict=True))
        )
    for work, subject in (("up", "1 GB up, in parts"), ("down", "1 GB down")):
        share = median(each.rate for each in made[REHOUSE, work]) / median(each.rate for each in made[BOTO3, work])
        result.goal(f"{subject}: rate against boto3's", "≥ 1", f"{share:.2f}", reached=share >= 1)


def _runs(clients: list[str], counts: dict[str, int], url: str) -> Iterator[tuple[tuple[str, str], Callable[[], Work]]]:
    for work, count in counts.items():
        for client in clients:
            yield (client, work), partial(_measure, client, work, count, url)


def _measure(client: str, work: str, count: int, url: str) -> Work:
    command = [_python(client), "-m", "bench.clients.objects", client, work, "--count", str(count)]
    cost = measuring.run(command, environment(url))
    told = json.loads(cost.output.strip().splitlines()[-1])
    return Work(count, told["seconds"], told["cpu_seconds"], cost.peak_bytes)


def _python(client: str) -> str:
    return str(TOOLS / "python") if client in IN_TOOLS else sys.executable
