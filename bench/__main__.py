"""`python -m bench`: run the benchmarks, print their tables and the goals, write the results, the charts and the page.

All is written after each benchmark. What was measured before and not now stays in the results, if it was measured at the
same sizes: each result says when, where, at which commit and in how many rounds it was made.
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
    found = _before(quick=chosen.quick)
    for name in chosen.only or BENCHMARKS:
        print(f"measuring: {name} …", file=sys.stderr, flush=True)
        measured = {"machine": machine.facts(), "commit": machine.commit(), "load": round(load, 1)}
        if not chosen.only or not found["measured"]:  # the page's header is of the last run of everything
            found |= {"rounds": chosen.rounds, "measured": measured}
        for result in BENCHMARKS[name](Options(chosen.quick, chosen.rounds)):
            made = json.loads(json.dumps({**result.as_object(), "measured": measured}))
            found["results"][result.name] = made
            print(f"\n{tables.shown(made)}\n", flush=True)
        found["results"] = {name: found["results"][name] for name in tables.ORDER if name in found["results"]}
        _write(found, quick=chosen.quick)
    print(tables.goals(found["results"]))


def _path(*, quick: bool) -> Path:
    return RESULTS / "quick.json" if quick else LATEST


def _before(*, quick: bool) -> dict[str, Any]:
    """Return what was measured before, with its header, but nothing that does not say when and where."""
    path = _path(quick=quick)
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"results": {}}
    return {
        "quick": quick,
        "rounds": before.get("rounds", 0),
        "measured": before.get("measured", {}),
        "results": {name: result for name, result in before["results"].items() if "measured" in result},
    }


def _write(found: dict[str, Any], *, quick: bool) -> None:
    path = _path(quick=quick)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {path}", file=sys.stderr)
    if quick:
        return
    python = TOOLS / "python"
    drawing = [str(python), "-m", "bench.charts", str(path), str(tables.PAGE.parent)]
    if not python.exists() or subprocess.run(drawing, check=False).returncode:
        print("matplotlib is missing or failed: the charts are those of before", file=sys.stderr)
    tables.write_page(found)
    print(f"written: {tables.PAGE}", file=sys.stderr)


if __name__ == "__main__":
    main()
