"""`python -m bench.against COMMIT`: whole migrations by this tree and by an older commit, in turn; is one of them dearer?

Each round runs both, one right after the other and in changing order, so that a slow minute touches both alike. What counts
is the ratio within a round. Whether the ratios could be chance is asked of an exact permutation test: were old and new the
same, each ratio could as well be its inverse.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench import database, servers
from bench.servers import CountingPostgres, postgres, stub
from bench.whole_run import WholeRun, prepare, watched

SLUG = "tenant-1"
SIGNIFICANT = 0.05
FIGURES: dict[str, Callable[[WholeRun], float]] = {
    "client CPU": lambda run: run.cost.cpu_seconds,
    "PostgreSQL CPU": lambda run: run.server_cpu_seconds,
    "seconds": lambda run: run.cost.wall_seconds,
    "peak memory": lambda run: run.cost.peak_bytes,
    "requests": lambda run: run.requests_total,
    "statements": lambda run: run.statements.calls,
}


def chance(ratios: Sequence[float]) -> float:
    """Return how likely a mean as far from 1 is by chance alone, of paired ratios (two-sided, exact).

    >>> chance([1.1, 1.2, 1.3, 1.1, 1.2, 1.1])
    0.03125
    >>> chance([1.0, 1.0])
    1.0
    """
    logs = [math.log(ratio) for ratio in ratios]
    found = abs(sum(logs))
    flipped = [
        abs(sum(sign * each for sign, each in zip(signs, logs, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(logs))
    ]
    return sum(each >= found - 1e-12 for each in flipped) / len(flipped)


def main() -> None:
    """Measure, and print one line a layout and figure."""
    parser = argparse.ArgumentParser(prog="scripts/bench-against", description=__doc__)
    parser.add_argument("commit", help="the older commit")
    parser.add_argument("--rounds", type=int, default=10, help="how many pairs (default 10)")
    parser.add_argument("--documents", type=int, default=50_000, help="of the tenant that is migrated (default 50,000)")
    chosen = parser.parse_args()
    layouts = [database.together(chosen.documents), database.interleaved(chosen.documents, chosen.documents)]
    with _installed(chosen.commit) as older, postgres() as server:
        for layout in layouts:
            pairs = list(_pairs(server, layout, {"old": older, "new": servers.REHOUSE}, chosen.rounds))
            for name, figure in FIGURES.items():
                _print(layout.name, name, [(figure(old), figure(new)) for old, new in pairs])


def _pairs(
    server: CountingPostgres, layout: database.Layout, binaries: dict[str, str], rounds: int
) -> Iterator[tuple[WholeRun, WholeRun]]:
    for number in range(rounds):
        order = ("old", "new") if number % 2 else ("new", "old")
        runs = {which: _migrated(server, layout, f"{which}_{number}", binaries[which]) for which in order}
        print(f"{layout.name}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        yield runs["old"], runs["new"]


def _migrated(server: CountingPostgres, layout: database.Layout, name: str, binary: str) -> WholeRun:
    rehouse = partial(servers.rehouse, binary=binary)
    with stub(layout.objects) as storage:
        url = database.create(server, name, layout)
        prepare(server, storage, url, rehouse)
        run = watched(["migrate", SLUG], server, storage, url, slug=SLUG, rehouse=rehouse)
    server.drop_database(name)
    return run


def _print(layout: str, name: str, figures: Sequence[tuple[float, float]]) -> None:
    ratios = [new / old for old, new in figures]
    old, new = (statistics.median(each) for each in zip(*figures, strict=True))
    likely = chance(ratios)
    verdict = "significant" if likely < SIGNIFICANT else "may be chance"
    middle, least, most = statistics.median(ratios), min(ratios), max(ratios)
    print(
        f"{layout:12} {name:15} old {old:14,.2f}  new {new:14,.2f}  new/old {middle:.3f} ({least:.3f}–{most:.3f})"
        f"  p = {likely:.3f}, {verdict}",
        flush=True,
    )


@contextmanager
def _installed(commit: str) -> Iterator[str]:
    """Install the older commit beside a work tree of its own, with today's versions of its packages; yield its `rehouse`."""
    with tempfile.TemporaryDirectory(prefix="rehouse-against-") as folder:
        tree = Path(folder) / "tree"
        _run("git", "worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            _run(sys.executable, "-m", "venv", str(Path(folder) / "venv"))
            python = str(Path(folder) / "venv" / "bin" / "python")
            lock = str(tree / "requirements.lock")
            _run(python, "-m", "pip", "install", "--quiet", "--constraint", lock, "--editable", str(tree))
            yield str(Path(python).with_name("rehouse"))
        finally:
            _run("git", "worktree", "remove", "--force", str(tree))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
