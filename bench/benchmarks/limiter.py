"""The limiter against a stub that allows 3,500 requests a second, and one that begins at 200 and doubles every ten seconds."""

from __future__ import annotations

import json
import sys

from bench import measuring
from bench.result import Options, Result
from bench.servers import environment, stub

RATE = 3500
IN_FLIGHT = 256
LATENCY_MS = 50
SETTLED_SECONDS = 10
COLUMNS = ["allowed", "copies", "seconds", "share of what was allowed", "answered 503", "most in a second, × allowed"]


def run(options: Options) -> list[Result]:
    """Return one table: what was used of the allowance, and how often it was overstepped."""
    result = Result("limiter", f"The limiter, {LATENCY_MS} ms a request, {IN_FLIGHT} in flight", COLUMNS)
    fixed = _run(options.size(RATE * 16, RATE * 60), "--rate", str(RATE))
    share, refused, most = _add(result, f"{RATE:,}/s", fixed, from_second=SETTLED_SECONDS)
    result.goal("limiter at 3,500/s, used of it once settled", "≥ 95 %", f"{share:.1%}", reached=share >= 0.95)
    result.goal("limiter at 3,500/s, answered 503 once settled", "< 1 %", f"{refused:.2%}", reached=refused < 0.01)
    result.goal("limiter at 3,500/s, most in a second", "≤ 2 ×", f"{most:.2f} ×", reached=most <= 2)
    doubling = _run(options.size(6_000, 100_000), "--rate", "200", "--doubling-seconds", "10")
    _, _, most = _add(result, "200/s, doubling every 10 s", doubling, from_second=0)
    result.goal("limiter at 200/s doubling, most in a second", "≤ 2 ×", f"{most:.2f} ×", reached=most <= 2)
    result.figures = {"fixed": fixed, "doubling": doubling}
    result.notes.append(f"The first row leaves out the first {SETTLED_SECONDS} seconds; both leave out the last one.")
    result.notes.append(
        "The most in a second is what was sent, refused or not, against what was allowed in that second."
    )
    return [result]


def _run(objects: int, *rate: str) -> dict[str, list[float]]:
    """Return second → [passed, refused, allowed]."""
    with stub(objects, "--latency-ms", str(LATENCY_MS), *rate) as storage:
        create = measuring.run(
            [sys.executable, "-m", "bench.clients.create_bucket"], environment(storage.url), core=None
        )
        command = [sys.executable, "-m", "bench.clients.copying", "bulk", "--objects", str(objects)]
        done = measuring.run([*command, "--in-flight", str(IN_FLIGHT)], environment(storage.url))
        history: dict[str, list[float]] = storage.statistics()["history"]
    found = json.loads(done.output.strip().splitlines()[-1])["found"]
    assert not create.output
    assert found == {"copied": objects}, found
    return history


def _add(
    result: Result, allowed: str, history: dict[str, list[float]], *, from_second: int
) -> tuple[float, float, float]:
    seconds = [figures for second, figures in sorted(history.items(), key=lambda item: int(item[0]))]
    most = max((passed + refused) / rate for passed, refused, rate in seconds)
    counted = seconds[from_second:-1] or seconds
    passed, refused, rate = (sum(figures[column] for figures in counted) for column in range(3))
    share, refusals = passed / rate, refused / (passed + refused)
    copies = sum(figures[0] for figures in seconds)
    result.add(allowed, f"{copies:,.0f}", len(seconds), f"{share:.1%}", f"{refusals:.2%}", f"{most:.2f}")
    return share, refusals, most
