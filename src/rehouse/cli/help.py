"""The layout of `--help`: commands in groups by workflow, one full line each; examples with one command a line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast, get_args

from typer._click import Context, HelpFormatter, Parameter
from typer._click.exceptions import UsageError
from typer._click.shell_completion import CompletionItem
from typer.core import TyperCommand, TyperGroup

from rehouse.cli.output import Color, Style
from rehouse.core.errors import BadUsage
from rehouse.core.near_names import near_names

_EXAMPLE = re.compile(r"`([^`]+)`(?: \(([^)]+)\))?")


def summary(text: str | None) -> str:
    """Return the first sentence of a help text, without its full stop.

    >>> summary("Move one tenant into a bucket of its own. Safe to repeat.")
    'Move one tenant into a bucket of its own'
    """
    return inspect.cleandoc(text or "").partition("\n")[0].partition(". ")[0].removesuffix(".")


def examples(text: str | None) -> tuple[str, list[str]]:
    """Return a help text without its examples, and the examples, each a command line with its note as a comment.

    >>> examples("Show it.\\n\\nExamples: `rehouse demo`, `rehouse demo --keep` (leaves the servers up).")
    ('Show it.', ['rehouse demo', 'rehouse demo --keep  # leaves the servers up'])
    """
    told, _, found = inspect.cleandoc(text or "").partition("\n\nExample")
    lines = [f"{command}  # {note}" if note else command for command, note in _EXAMPLE.findall(" ".join(found.split()))]
    return told, lines


COMMON = {
    "--wide": "Print full names, even if the terminal is narrow.",
    "--color auto|always|never": "Colours on a terminal only (auto), always or never.",
    "-v, --verbose": "Print the log on stderr: settings, steps, requests.",
    "-q, --quiet": "Print errors and the result only: no progress, no notes.",
    "--notify COMMAND": "Run COMMAND at the end, with the JSON result on its stdin.",
}
"""The options that every command takes, with their help texts."""


@dataclass(frozen=True, slots=True)
class Common:
    """The values of the options that every command takes: how to print, and the command to run at the end."""

    style: Style
    notify: str | None = None


def take_common(arguments: Sequence[str]) -> tuple[list[str], Common]:
    """Split a command line into its own part and the values of the options that every command takes.

    Raises BadUsage for an unknown value of --color and for options that contradict each other.

    >>> left, common = take_common(["status", "--wide", "--color=never", "acme"])
    >>> left, common.style.wide, common.style.color
    (['status', 'acme'], True, 'never')
    """
    left, style, notify, waiting = list[str](), Style(), None, list(reversed(arguments))
    while waiting:
        word = waiting.pop()
        if word == "--":
            left += [word, *reversed(waiting)]
            break
        name, has_value, value = word.partition("=")
        if word == "--wide":
            style = replace(style, wide=True)
        elif word in {"-v", "--verbose"}:
            style = replace(style, verbose=True)
        elif word in {"-q", "--quiet"}:
            style = replace(style, quiet=True)
        elif name in {"--color", "--notify"}:
            value = value if has_value else waiting.pop() if waiting else ""
            if name == "--color":
                style = replace(style, color=_color(value))
            else:
                notify = _notify(value)
        else:
            left.append(word)
    if style.verbose and style.quiet:
        raise BadUsage("--verbose and --quiet contradict each other", hint="leave out one of the two")
    return left, Common(style, notify)


def _notify(value: str) -> str:
    if not value.strip():
        raise BadUsage("--notify needs a command", hint="such as --notify 'mail -s rehouse ops@example.com'")
    return value


def _color(value: str) -> Color:
    for color in get_args(Color):
        if value == color:
            return cast("Color", color)
    raise BadUsage(f"--color cannot be {value!r}", hint="give auto, always or never")


class _AsTyped:
    """Converts no value. Typer's own conversion loads pydantic, which is slow, even if a flag was not given."""

    @staticmethod
    def coerce(value: Any, **_rest: Any) -> Any:
        """Return the value."""
        return value


def _keep_as_typed(params: Sequence[Parameter]) -> list[Parameter]:
    """Make the parameters keep their values as typed, and return them."""
    for param in params:
        setattr(param, "get_runtime_param", _AsTyped)  # noqa: B010 - for this parameter only
    return list(params)


class Command(TyperCommand):
    """A command that prints each of its examples on a line, as it is typed."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters; while the shell completes, their values stay as they were typed."""
        params = super().get_params(ctx)
        return _keep_as_typed(params) if ctx.resilient_parsing else params

    def format_help_text(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write what the command does, then its examples."""
        told, lines = examples(self.help)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(told)
        if lines:
            with formatter.section("Examples"):
                for line in lines:
                    formatter.write(f"{'':{formatter.current_indent}}{line}\n")

    def format_options(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write the command's own options, then those that every command takes."""
        super().format_options(ctx, formatter)
        with formatter.section("Options of every command"):
            formatter.write_dl(list(COMMON.items()))

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """Return the options that begin with what was typed, including those that every command takes."""
        common = [name.split()[0] for name in COMMON]
        found = super().shell_complete(ctx, incomplete)
        return found + [CompletionItem(name) for name in common if incomplete and name.startswith(incomplete)]


class WorkflowGroup(TyperGroup):
    """The commands by workflow. The error about an unknown command suggests similar ones, ignoring case."""

    workflows: ClassVar[Mapping[str, Collection[str]]] = {}
    """Title of a group → the names of its commands, in order."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the options of `rehouse` itself: all of them are flags."""
        return _keep_as_typed(super().get_params(ctx))

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> Context:
        """Do what Typer does; while the shell completes, the options that every command takes are still in `args`."""
        if extra.get("resilient_parsing"):
            args, _ = take_common(args)
        return super().make_context(info_name, args, *rest, **extra)

    def resolve_command(self, *arguments: Any) -> Any:
        """Do what Typer does, whose own suggestion depends on the case."""
        try:
            return super().resolve_command(*arguments)
        except UsageError as error:
            near = near_names(arguments[1][0], self.commands)
            if near:
                error.message = f"{error.message} Did you mean {' or '.join(near)}?"
            raise

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write each group of commands with a line for each."""
        widest = max(map(len, self.commands))
        for title, names in self.workflows.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{widest}}", summary(self.commands[name].help)) for name in names])
