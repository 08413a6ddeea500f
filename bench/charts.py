"""`python -m bench.charts RESULTS FOLDER`: draw results into a folder as PNG. The only part that needs matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any, Literal

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from bench.tables import CHARTS

SIZE_INCHES = (8, 4)
ACCENT, CONTRAST, OTHER = "#1f6f8b", "#d1495b", "#b0b7bd"
PALE = {ACCENT: "#8fbccb", CONTRAST: "#e8a3ad"}
MOST_MB = 200
"""The goal for peak memory."""
PLAIN = StrMethodFormatter("{x:g}")
WHOLE = StrMethodFormatter("{x:,.0f}")

Samples = list[tuple[float, float]]
Results = dict[str, Any]


def main(found: Path, folder: Path) -> None:
    """Draw what was measured."""
    results = json.loads(found.read_text(encoding="utf-8"))["results"]
    drawings = {
        "copy-0ms": ("without_startup", copies),
        "million": ("memory", memory),
        "usage": ("growth", growth),
        "limiter": ("fixed", pace),
    }
    for name, (needed, draw) in drawings.items():
        if results.get(name, {}).get("figures", {}).get(needed):
            figure = plt.figure(figsize=SIZE_INCHES, layout="constrained")
            draw(figure, results)
            figure.savefig(folder / CHARTS[name][0], dpi=110)
            plt.close(figure)


def copies(figure: Figure, results: Results) -> None:
    """Draw a bar for each client."""
    figures = results["copy-0ms"]["figures"]["without_startup"]
    names = list(figures)[::-1]
    middles = [median(figures[name]) for name in names]
    axes = _plain(figure.subplots(), grid="x")
    bars = axes.barh(names, middles, color=[ACCENT if name.startswith("rehouse") else OTHER for name in names])
    axes.bar_label(bars, [f"{middle:,.0f}" for middle in middles], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(10, max(middles) * 2)
    axes.xaxis.set_major_formatter(WHOLE)
    axes.set_xlabel("µs of the client's CPU an object, without start-up (logarithmic)")
    axes.tick_params(axis="y", length=0)
    figure.suptitle("Plain copy, 0 ms a request: what an object costs each client")


def memory(figure: Figure, results: Results) -> None:
    """Draw resident memory over the share of the run's time: one large tenant, and many tenants."""
    sides = {
        "one tenant": results["million"]["figures"]["memory"],
        "many tenants": results.get("tenants", {}).get("figures", {}).get("memory", {}),
    }
    measured = {title: runs for title, runs in sides.items() if runs}
    several = figure.subplots(1, len(measured), sharey=True, squeeze=False)[0]
    for axes, (title, runs) in zip(several, measured.items(), strict=True):
        _plain(axes, grid="y").set_title(title, fontsize="medium")
        for colour, (name, samples) in zip((PALE[ACCENT], ACCENT), runs.items(), strict=True):
            axes.plot(*_shares(samples), color=colour, label=_described(name, samples))
        axes.axhline(MOST_MB, color=CONTRAST, linestyle=":", linewidth=1)
        axes.annotate(f"goal: at most {MOST_MB} MB", (0, MOST_MB - 3), color=CONTRAST, fontsize="small", va="top")
        axes.set_xlabel("% of the run's time")
        axes.legend(loc="lower right", frameon=False, fontsize="small")
    several[0].set_ylabel("resident MB")
    several[0].set_ylim(0, MOST_MB * 1.08)
    figure.suptitle("Memory of rehouse over a whole run")


def growth(figure: Figure, results: Results) -> None:
    """Draw seconds over rows, both logarithmic."""
    axes = _plain(figure.subplots(), grid="both")
    colours = (OTHER, ACCENT, CONTRAST)
    for colour, (name, points) in zip(colours, results["usage"]["figures"]["growth"].items(), strict=True):
        axes.plot(*zip(*points, strict=True), color=colour, label=name, linestyle="--" if colour == OTHER else "-")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, numbers in ((axes.xaxis, WHOLE), (axes.yaxis, PLAIN)):
        axis.set_major_formatter(numbers)
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("rows loaded so far (logarithmic)")
    axes.set_ylabel("seconds so far (logarithmic)")
    axes.legend(frameon=False)
    figure.suptitle("Loading documents with each usage trigger (last round)")


def pace(figure: Figure, results: Results) -> None:
    """Draw what was allowed, sent and refused by the second: one side for each allowance."""
    several = figure.subplots(1, 2, sharey=True)
    sides = (("fixed", "3,500 a second allowed", ACCENT), ("doubling", "200 a second, doubling every 10 s", CONTRAST))
    for axes, (name, title, colour) in zip(several, sides, strict=True):
        history = sorted((int(second), each) for second, each in results["limiter"]["figures"][name].items())[:-1]
        at = [second for second, _ in history]
        _plain(axes, grid="y").set_title(title, fontsize="medium")
        axes.step(at, [each[2] for _, each in history], where="post", color="black", linewidth=1, label="allowed")
        axes.plot(at, [each[0] + each[1] for _, each in history], color=colour, label="sent")
        axes.fill_between(at, [each[1] for _, each in history], color=PALE[colour], label="of these refused (503)")
        axes.set_xlabel("seconds")
    for axes, place in zip(several, ((0.45, 0.3), (0.02, 0.72)), strict=True):
        axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=place)
    several[0].set_ylabel("requests a second")
    several[0].yaxis.set_major_formatter(WHOLE)
    several[0].set_ylim(bottom=0)
    figure.suptitle("The limiter against what a server allows")


def _plain(axes: Axes, *, grid: Literal["x", "y", "both"]) -> Axes:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, color="#e6e9eb", linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def _shares(samples: Samples) -> tuple[list[float], list[float]]:
    last = samples[-1][0] or 1.0
    return [at / last * 100 for at, _ in samples], [size / 1e6 for _, size in samples]


def _described(name: str, samples: Samples) -> str:
    peak = max(size for _, size in samples) / 1e6
    return f"{name}: {samples[-1][0]:,.0f} s, at most {peak:,.0f} MB"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
