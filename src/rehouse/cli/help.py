"""What `--help` looks like: commands in groups by workflow, one uncut line each; examples one command a line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping
from typing import ClassVar

from typer._click import Context, HelpFormatter
from typer.core import TyperCommand, TyperGroup

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


class Command(TyperCommand):
    """A command whose examples are printed one a line, as they are typed."""

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


class WorkflowGroup(TyperGroup):
    """The commands by workflow."""

    workflows: ClassVar[Mapping[str, Collection[str]]] = {}
    """Title of a group → the names of its commands, in order."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write each group of commands with a line for each."""
        widest = max(map(len, self.commands))
        for title, names in self.workflows.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:{widest}}", summary(self.commands[name].help)) for name in names])
