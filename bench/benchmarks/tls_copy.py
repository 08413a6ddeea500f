"""What TLS adds to a copy: over plain HTTP, over TLS to one host, and over TLS with a host for each tenant's bucket.

A host for each bucket is what AWS has. The copies go tenant after tenant, so that each tenant's connections are new ones, and each
is a handshake: that is the dearest order.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench import measuring
from bench.benchmarks.plain_copy import Measured
from bench.measuring import spread
from bench.nginx import Nginx, missing, nginx
from bench.peers import PEERS
from bench.result import Options, Result, in_rounds
from bench.servers import environment

COLUMNS = [
    "way", "hosts", "objects", "µs CPU an object", "without start-up", "objects/s", "cores busy", "connections", "× plain HTTP",
]  # fmt: skip
IN_FLIGHT = 64
TENANTS = 100
PLAIN, ONE_HOST, HOST_A_TENANT = "plain HTTP", "TLS, one host", "TLS, one host a tenant"
VIRTUAL_HOSTS = "[default]\ns3 =\n  addressing_style = virtual\n"


class Way(NamedTuple):
    """How S3 is reached."""

    is_tls: bool = True
    tenants: int = 1


class Copied(NamedTuple):
    """One round of one way."""

    measured: Measured
    connections: int


WAYS = {PLAIN: Way(is_tls=False), ONE_HOST: Way(), HOST_A_TENANT: Way(tenants=TENANTS)}


def run(options: Options) -> list[Result]:
    """Return one table: the bulk plane at 0 ms, in three ways."""
    result = Result("copy-tls", f"Copy over TLS, 0 ms a request, {IN_FLIGHT} in flight", COLUMNS, options.rounds)
    if lacking := missing():
        result.notes.append(f"skipped: {lacking}")
        return [result]
    objects = options.size(20_000, 100_000)
    with tempfile.TemporaryDirectory() as scratch, nginx(objects) as server:
        runs = {name: partial(_measure, way, server, objects, Path(scratch)) for name, way in WAYS.items()}
        _rows(result, in_rounds(options.rounds, runs), objects)
    return [result]


def _measure(way: Way, server: Nginx, objects: int, scratch: Path) -> Copied:
    alone = _cost(way, server, 1, scratch)
    requests, connections = server.requests(), server.connections()
    cost = _cost(way, server, objects, scratch)
    # The two questions to the server are connections and requests as well.
    requests, connections = server.requests() - requests - 2, server.connections() - connections - 2
    return Copied(Measured(cost, objects, requests, alone), connections)


def _cost(way: Way, server: Nginx, objects: int, scratch: Path) -> measuring.Cost:
    command = [*PEERS[0].command(server.url, objects, IN_FLIGHT, scratch), "--tenants", str(min(way.tenants, objects))]
    settings = environment(server.tls_url if way.is_tls else server.url)
    if way.is_tls:
        settings["AWS_CA_BUNDLE"] = str(server.ca_bundle)
    if way.tenants > 1:
        profile = scratch / "virtual-hosts.ini"
        profile.write_text(VIRTUAL_HOSTS)
        settings["AWS_CONFIG_FILE"] = str(profile)
    return measuring.run(command, settings)


def _rows(result: Result, made: dict[str, list[Copied]], objects: int) -> None:
    micros = {name: [each.measured.micros for each in every] for name, every in made.items()}
    result.figures["micros"] = micros
    base = spread(micros[PLAIN]).median
    for name, every in made.items():
        measured = [each.measured for each in every]
        result.add(
            name,
            WAYS[name].tenants,
            f"{objects:,}",
            spread(micros[name]),
            spread(each.further_micros for each in measured),
            spread(each.rate for each in measured),
            spread(each.cores for each in measured),
            spread(each.connections for each in every),
            f"{spread(micros[name]).median / base:.1f}",
        )
