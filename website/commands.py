"""The options of every command, read from the program itself: names, values and defaults. The page adds what they mean.

An option that the page lists and the program lacks, or the reverse, ends the build.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from enum import EnumType
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer

from rehouse.cli.main import WORKFLOWS, app
from website.entries import Entry, definition_list, find_table

NO_OPTIONS = "## Options\n\nNone.\n"
KINDS = {int: "integer", float: "number", Path: "path", timedelta: "duration"}
HEADING = ("option", "default", "meaning")


class Stale(Exception):
    """A page and the program differ."""


def overview() -> str:
    """Return the page that lists all commands by workflow, each with the first line of its help."""
    text = ["# Commands", ""]
    for workflow, names in WORKFLOWS.items():
        text += [f"## {workflow}", ""]
        for name in names:
            summary = (_group().commands[name].help or "").strip().splitlines()[0]
            text += [f"[`rehouse {name}`]({name}.md)", f":   {summary}", ""]
    return "\n".join(text)


def with_options(text: str, name: str) -> str:
    """Return a command's page with the table of its options replaced by the program's own; raise Stale where they differ."""
    table = find_table(text, HEADING)
    told = {row[0].strip("`"): (row[1], row[2]) for row in table.rows} if table else {}
    entries = list(_entries(_group().commands[name], told))
    unknown = told.keys() - {word for each in entries for word in each.name.replace("`", "").split(", ")}
    if unknown:
        raise Stale(f"docs/commands/{name}.md lists options that the command lacks: {', '.join(sorted(unknown))}")
    made = f"```text\n{usage(name)}\n```\n\n{definition_list(entries)}\n"
    return text.replace(table.text, made, 1) if table else text.replace(NO_OPTIONS, f"## Options\n\n{made}", 1)


def usage(name: str) -> str:
    """Return the line that says how a command is written.

    >>> usage("accept")
    'rehouse accept SLUG DOCUMENT... [OPTIONS]'
    """
    words = [f"rehouse {name}"]
    for each in _group().commands[name].params:
        if each.param_type_name == "argument":
            word = _metavar(each) + ("..." if each.nargs == -1 else "")
            words.append(word if each.required else f"[{word}]")
    return " ".join([*words, "[OPTIONS]"])


def _group() -> Any:
    return typer.main.get_command(app)


def _entries(command: Any, told: dict[str, tuple[str, str]]) -> Iterator[Entry]:
    for each in command.params:
        if each.hidden:
            continue
        is_option = each.param_type_name == "option"
        names = sorted((*each.opts, *each.secondary_opts), key=len, reverse=True) if is_option else [_metavar(each)]
        if is_option and names[0] not in told:
            raise Stale(f"docs/commands/{command.name}.md does not list {names[0]}")
        default, meaning = told.get(names[0], ("", each.help or ""))
        shown = ", ".join(f"`{name}`" for name in names)
        yield Entry(shown, names[0], meaning, tuple(_facts(each, default)))


def _metavar(argument: Any) -> str:
    return (argument.metavar or argument.name).upper().removesuffix("...")


def _facts(each: Any, told_default: str) -> Iterator[str]:
    is_switch = getattr(each, "is_flag", False)
    if each.param_type_name == "option":
        yield "switch" if is_switch else _values(each)
    yield from ["required"] * each.required
    yield from ["may be repeated"] * (each.multiple or each.nargs == -1)
    if each.default is not None and not is_switch:
        yield f"default: `{each.default}`"
    elif told_default:
        yield f"default: {told_default}"


def _values(each: Any) -> str:
    kinds = list(_alternatives(each.type_descriptor.annotation))
    if choices := [choice for kind in kinds for choice in _choices(kind)]:
        return " or ".join(f"`{choice}`" for choice in choices)
    kind = next((KINDS[kind] for kind in kinds if kind in KINDS), "text")
    if each.max is not None:
        return f"{kind} from {each.min} to {each.max}"
    return kind if each.min is None else f"{kind}, at least {each.min}"


def _choices(kind: Any) -> tuple[str, ...]:
    if isinstance(kind, EnumType):
        return tuple(str(each.value) for each in kind)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _alternatives(annotation: Any) -> Iterator[Any]:
    """Yield the types of a parameter without what only says that it may be absent or repeated."""
    if get_origin(annotation) in {Union, UnionType, list, tuple}:
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation
