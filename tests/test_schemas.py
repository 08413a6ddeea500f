"""The JSON Schemas in the docs are those of the program's types, and refuse what these do not have."""

from __future__ import annotations

from typing import Any

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


def test_a_key_has_the_same_type_wherever_it_is_printed() -> None:
    found: dict[str, set[str]] = {}
    for schema in (*map(schemas.schema_of, schemas.RESULTS), *map(schemas.schema_of_stream, schemas.STREAMS)):
        shown = schema.get("anyOf") or schema["properties"]["result"]["anyOf"]
        for each in (*shown, *schema["$defs"].values()):
            for key, value in each.get("properties", {}).items():
                found.setdefault(key, set()).update(types_of(value, schema["$defs"]))
    assert {key: types for key, types in found.items() if len(types) > 1} == {"tenant_id": {"number", "string"}}


def test_no_result_has_a_key_of_many_meanings() -> None:
    """The names that keys of different meanings had in results: the envelope's `errors` are its own."""
    for schema in map(schemas.schema_of, schemas.RESULTS):
        results = [each for each in schema["properties"]["result"]["anyOf"] if "properties" in each]
        keys = {key for each in (*results, *schema["$defs"].values()) for key in each.get("properties", {})}
        assert not keys & {"errors", "detail", "same", "copied_bytes", "without_key"}


def types_of(value: dict[str, Any], defined: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows besides null; an integer is a number."""
    if "$ref" in value:
        return types_of(defined[value["$ref"].rpartition("/")[2]], defined)
    if "anyOf" in value:
        return set().union(*(types_of(each, defined) for each in value["anyOf"])) - {"null"}
    kind = "string" if "enum" in value else value.get("type", "anything")
    return {"number" if kind == "integer" else kind}


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
