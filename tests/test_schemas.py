"""The JSON Schemas in the docs are those of the program's types, and refuse what these do not have."""

from __future__ import annotations

import pytest
import typer
from jsonschema import Draft202012Validator
from website import schemas

from rehouse.cli.main import COMMANDS, app


def test_the_schemas_in_the_docs_are_the_program_s() -> None:
    found = {path: path.read_text(encoding="utf-8") for path in schemas.FOLDER.glob("*.json")}
    assert found == schemas.files(), "run `python -m website.schemas`"


def test_every_command_with_json_has_a_schema() -> None:
    group = typer.main.get_command(app)
    assert {
        name
        for name in COMMANDS
        if any("--output" in each.opts for each in group.commands[name].params)  # type: ignore[attr-defined]
    } == set(schemas.RESULTS)


@pytest.mark.parametrize("command", schemas.RESULTS)
def test_a_schema_is_a_schema_and_allows_no_other_key(command: str) -> None:
    schema = schemas.schema_of(command)
    Draft202012Validator.check_schema(schema)
    envelope = dict.fromkeys(schema["required"]) | {
        "schema_version": 1, "command": command, "started_at": "2026-01-01T00:00:00+00:00", "elapsed_seconds": 0.1,
        "exit_status": 2, "errors": [],
    }  # fmt: skip
    validator = Draft202012Validator(schema)
    assert validator.is_valid(envelope)
    assert not validator.is_valid(envelope | {"more": 1})
    assert not validator.is_valid(envelope | {"result": {"more": 1}})
    assert not validator.is_valid(envelope | {"exit_status": 7})
