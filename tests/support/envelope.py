"""What `--output json` prints: one envelope, checked, and the result in it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

KEYS = ["schema_version", "command", "run_id", "started_at", "elapsed_seconds", "exit_status", "result", "errors"]


def envelope_of(printed: str) -> dict[str, Any]:
    """Return the envelope that a command printed on stdout, and nothing else."""
    told: dict[str, Any] = json.loads(printed)
    assert list(told) == KEYS, told
    assert datetime.fromisoformat(told["started_at"]).utcoffset() is not None
    assert told["elapsed_seconds"] >= 0
    for each in told["errors"]:
        assert list(each) == ["code", "subject", "message", "hint"], each
    return told


def result_of(printed: str) -> Any:
    """Return the result that a command printed in its envelope."""
    return envelope_of(printed)["result"]
