"""What `--output json` prints: one envelope, held to the JSON Schema of its command, and the result in it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


@cache
def validator_of(command: str) -> Draft202012Validator:
    """Return what holds an envelope to its schema. A command that prints no JSON is only refused, as any other is."""
    path = SCHEMAS / f"{command}.json"
    if path.exists():
        return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))
    schema = json.loads((SCHEMAS / "config.json").read_text(encoding="utf-8"))
    schema["properties"] |= {"command": {"const": command}, "result": {"type": "null"}}
    return Draft202012Validator(schema)


def envelope_of(printed: str) -> dict[str, Any]:
    """Return the envelope that a command printed on stdout, and nothing else."""
    told: dict[str, Any] = json.loads(printed)
    validator_of(told["command"]).validate(told)
    return told


@cache
def validator_of_stream(stream: str) -> Draft202012Validator:
    """Return what holds a line of a stream to its schema."""
    return Draft202012Validator(json.loads((SCHEMAS / f"{stream}.json").read_text(encoding="utf-8")))


def lines_of_stream(stream: str, printed: str) -> list[dict[str, Any]]:
    """Return the JSON lines that a stream has printed, and nothing else."""
    told = [json.loads(line) for line in printed.splitlines()]
    for line in told:
        validator_of_stream(stream).validate(line)
    return told


def result_of(printed: str) -> Any:
    """Return the result that a command printed in its envelope."""
    return envelope_of(printed)["result"]
