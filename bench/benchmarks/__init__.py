"""The benchmarks, a file each: `run(options)` returns its tables."""

from __future__ import annotations

from collections.abc import Callable

from bench.benchmarks import beside, limiter, objects, plain_copy, scale, tls_copy, usage_trigger, whole_migrate
from bench.result import Options, Result

BENCHMARKS: dict[str, Callable[[Options], list[Result]]] = {
    "copy": plain_copy.run,
    "tls": tls_copy.run,
    "migrate": whole_migrate.run,
    "scale": scale.run,
    "usage": usage_trigger.run,
    "limiter": limiter.run,
    "beside": beside.run,
    "objects": objects.run,
}
