"""Reads the truth table out of a docstring, so that a test can be that table and nothing else."""

from __future__ import annotations

from collections.abc import Callable


def truth_table(function: Callable[..., object]) -> list[tuple[str, ...]]:
    """The lines of the table without its heading, each as the texts of its cells."""
    lines = [line.strip() for line in (function.__doc__ or "").splitlines() if line.strip().startswith("|")]
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return [line for line in cells[1:] if not set("".join(line)) <= {"-"}]
