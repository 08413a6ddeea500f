"""CPU seconds and resident bytes of processes, read from /proc. CPU is user + system."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


def cpu_seconds(pid: int, *, with_ended_children: bool = False) -> float:
    """Return the CPU seconds of a process, 0 if it is gone."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    last = 15 if with_ended_children else 13
    return sum(int(field) for field in fields[11:last]) / TICKS


def family_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process, its living children and those that it has waited for."""
    living = sum(cpu_seconds(child, with_ended_children=True) for child in children(pid))
    return cpu_seconds(pid, with_ended_children=True) + living


def children(pid: int) -> list[int]:
    """Return the living direct children of a process."""
    try:
        return [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process, 0 if it is gone."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _stat(pid: int) -> list[str] | None:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
