"""How tests run the command line: in this process, or as a program with a bare environment."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from tests.support.envelope import envelope_of

from rehouse.cli.main import main

BARE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "REHOUSE_SHARED_BUCKET": "shared"}
SECRET = "hunter2-and-more"
COMMAND = [sys.executable, "-m", "rehouse"]


def run_text(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """Run a command; return what it prints on stdout."""
    capsys.readouterr()
    assert main(list(arguments)) == status
    return capsys.readouterr().out


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    """Run a command with `--output json`; return its result."""
    told = envelope_of(run_text(capsys, *arguments, "--output", "json", status=status))
    assert told["exit_status"] == status, told
    return told["result"]
