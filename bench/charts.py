"""`python -m bench.charts RESULTS FOLDER`: draw results into a folder as PNG. The only part that needs matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.tables import CHARTS

SIZE_INCHES = (8, 4)
ACCENT, OTHER = "#1f6f8b", "#b0b7bd"


def main(found: Path, folder: Path) -> None:
    """Draw what was measured."""
    results = json.loads(found.read_text(encoding="utf-8"))["results"]
    for name, draw in {"copy-0ms": copies, "million": memory, "usage": growth, "limiter": pace}.items():
        if results.get(name, {}).get("figures"):
            figure, axes = plt.subplots(figsize=SIZE_INCHES, layout="constrained")
            draw(axes, results)
            figure.savefig(folder / CHARTS[name][0], dpi=110)
            plt.close(figure)


def copies(axes: Axes, results: dict[str, Any]) -> None:
    """Draw a bar for each client."""
    figures = results["copy-0ms"]["figures"]["micros"]
    names = list(figures)[::-1]
    middles = [median(figures[name]) for name in names]
    bars = axes.barh(names, middles, color=[ACCENT if name.startswith("rehouse") else OTHER for name in names])
    axes.bar_label(bars, [f"{middle:,.0f}" for middle in middles], padding=3)
    axes.set_xscale("log")
    axes.set_xlim(10, max(middles) * 2)
    axes.set_xlabel("µs of CPU an object")


def memory(axes: Axes, results: dict[str, Any]) -> None:
    """Draw resident memory over the share of the run's time."""
    runs = {
        **results["million"]["figures"]["memory"],
        **results.get("tenants", {}).get("figures", {}).get("memory", {}),
    }
    for name, samples in runs.items():
        last = samples[-1][0] or 1.0
        axes.plot(
            [at / last * 100 for at, _ in samples], [size / 1e6 for _, size in samples], label=f"{name}, {last:,.0f} s"
        )
    axes.set_xlabel("% of the run's time")
    axes.set_ylabel("resident MB")
    axes.set_ylim(bottom=0)
    axes.legend()


def growth(axes: Axes, results: dict[str, Any]) -> None:
    """Draw seconds over rows, both logarithmic."""
    for name, points in results["usage"]["figures"]["growth"].items():
        axes.plot([rows for rows, _ in points], [seconds for _, seconds in points], label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("rows loaded")
    axes.set_ylabel("seconds")
    axes.legend()


def pace(axes: Axes, results: dict[str, Any]) -> None:
    """Draw what was allowed, sent and refused by the second."""
    for (name, history), colour in zip(results["limiter"]["figures"].items(), ("tab:blue", "tab:orange"), strict=True):
        seconds = sorted((int(second), figures) for second, figures in history.items())[:-1]
        at = [second for second, _ in seconds]
        axes.step(
            at,
            [figures[2] for _, figures in seconds],
            where="post",
            color=colour,
            linestyle=":",
            label=f"{name}: allowed",
        )
        axes.plot(at, [figures[0] + figures[1] for _, figures in seconds], color=colour, label=f"{name}: sent")
        axes.plot(at, [figures[1] for _, figures in seconds], color=colour, alpha=0.4, label=f"{name}: refused")
    axes.set_xlabel("seconds")
    axes.set_ylabel("requests a second")
    axes.legend()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
