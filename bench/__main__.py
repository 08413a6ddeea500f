"""`python -m bench`: run the benchmarks, print their tables and the goals, write the results, the charts and the page.

What was measured before and not now stays in the results, if it was measured at the same sizes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench import machine, tables
from bench.benchmarks import BENCHMARKS
from bench.peers import TOOLS
from bench.result import Options

RESULTS = Path("bench/results")
LATEST = RESULTS / "latest.json"
BUSY = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: to try it out; results go to quick.json, no page"
    )
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), help="this one; may be given again")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured, in turn (default 5)")
    chosen = parser.parse_args()
    load = machine.busy()
    if load > BUSY:
        print(
            f"other programs are at work here (load {load:.1f}): the figures will be worse than they are",
            file=sys.stderr,
        )
    found = _before(quick=chosen.quick) | {"machine": machine.facts(), "rounds": chosen.rounds, "load_before": load}
    for name in chosen.only or BENCHMARKS:
        print(f"measuring: {name} …", file=sys.stderr, flush=True)
        for result in BENCHMARKS[name](Options(chosen.quick, chosen.rounds)):
            found["results"][result.name] = json.loads(json.dumps(result.as_object()))
            print(f"\n{tables.shown(found['results'][result.name])}\n", flush=True)
    found["results"] = {name: found["results"][name] for name in tables.ORDER if name in found["results"]}
    print(tables.goals(found["results"].values()))
    _write(found, quick=chosen.quick)


def _path(*, quick: bool) -> Path:
    return RESULTS / "quick.json" if quick else LATEST


def _before(*, quick: bool) -> dict[str, Any]:
    path = _path(quick=quick)
    results = json.loads(path.read_text(encoding="utf-8"))["results"] if path.exists() else {}
    return {"quick": quick, "results": results}


def _write(found: dict[str, Any], *, quick: bool) -> None:
    path = _path(quick=quick)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}", file=sys.stderr)
    if quick:
        return
    python = TOOLS / "python"
    if python.exists():
        subprocess.run([str(python), "-m", "bench.charts", str(path), str(tables.PAGE.parent)], check=True)
    tables.write_page(found)
    print(f"written: {tables.PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
