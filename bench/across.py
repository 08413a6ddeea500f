"""Goals that compare the figures of two benchmarks, made from whatever the results hold, old or new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from bench.clients.names import S5CMD
from bench.result import Result

LAYOUTS = ("together", "interleaved")


def goals(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the goals as a result holds them: a whole migration against s5cmd's copies alone.

    The migration with its start-up, s5cmd without: the comparison that is harder on rehouse.
    """
    copies = _figures(results, "copy-0ms", "without_startup").get(S5CMD)
    made = Result("across", "", [])
    for layout in LAYOUTS:
        whole = _figures(results, "migrate", "client_micros").get(layout)
        times = median(copies) / median(whole) if copies and whole else None
        made.goal(
            f"whole migrate, keys {layout}, against s5cmd run's copy alone (without its start-up)",
            "≤ 1/4",
            times and f"1/{times:.1f}",
            reached=bool(times and times >= 4),
        )
    return [asdict(goal) for goal in made.goals]


def _figures(results: Mapping[str, Mapping[str, Any]], name: str, figure: str) -> Mapping[str, list[float]]:
    return dict(results.get(name, {}).get("figures", {}).get(figure, {}))
