"""The settings, read from their models: names, variables, bounds and defaults. The page adds what they mean."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rehouse import config
from rehouse.config import Settings
from website.commands import Stale
from website.entries import Entry, definition_list, find_table

HEADING = ("setting", "environment", "default", "meaning")


def with_settings(text: str) -> str:
    """Return the settings' page with its table replaced by the models' own entries; raise Stale where they differ."""
    table = find_table(text, HEADING)
    if table is None:
        raise Stale(f"docs/settings.md has no table | {' | '.join(HEADING)} |")
    meanings = {row[0].strip("`"): row[-1] for row in table.rows}
    leaves = list(config.leaves())
    if differing := meanings.keys() ^ set(leaves):
        raise Stale(f"docs/settings.md and the settings differ: {', '.join(sorted(differing))}")
    parts = []
    for section, members in groupby(leaves, key=lambda leaf: leaf.rpartition(".")[0]):
        if section:
            parts.append(f"### `[{section}]`\n\n{_rule_of(section)}\n")
        parts.append(definition_list(_entry(leaf, meanings[leaf]) for leaf in members))
    return text.replace(table.text, "\n".join(parts) + "\n", 1)


def _entry(leaf: str, meaning: str) -> Entry:
    default = next(shown for path, shown, _ in config.effective_settings(Settings()) if path == leaf)
    facts = [
        _values(leaf),
        f"default: `{default}`" if default else "no default",
        *(f"`{name}`" for name in config.variables(leaf)),
    ]
    return Entry(f"`{leaf}`", leaf, meaning, tuple(facts))


def _section(path: str) -> Any:
    model: Any = Settings
    for name in path.split("."):
        model = model.model_fields[name].annotation
    return model


def _rule_of(section: str) -> str:
    return (inspect.getdoc(_section(section)) or "").splitlines()[0]


def _values(leaf: str) -> str:
    section, _, name = leaf.rpartition(".")
    model = _section(section) if section else Settings
    schema = model.model_json_schema(mode="validation")["properties"][name]
    kinds = [each for each in _alternatives(schema) if each.get("type") != "null"]
    return " or ".join(dict.fromkeys(_described(each) for each in kinds))


def _alternatives(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "anyOf" in schema:
        for each in schema["anyOf"]:
            yield from _alternatives(each)
    else:
        yield schema


def _described(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    kind = {"array": "list", "string": "text", "boolean": "`true` or `false`"}.get(schema["type"], schema["type"])
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if highest is not None:
        return f"{kind} from {lowest} to {highest}"
    if "exclusiveMinimum" in schema:
        return f"{kind} above {schema['exclusiveMinimum']:g}"
    return kind if lowest is None else f"{kind}, at least {lowest:g}"
