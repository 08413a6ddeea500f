"""Confirm what cannot be undone: show what will be deleted on standard error, and ask for a name unless `--yes` is given."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from rehouse.cli.output import SHOWN, say, say_aside, table
from rehouse.core.errors import Interrupted, NotConfirmed
from rehouse.core.escaping import escape_controls
from rehouse.core.naming import is_global

YesOption = Annotated[bool, typer.Option("--yes", help="Skip the confirmation prompt.")]
KeepEmptyOption = Annotated[
    bool, typer.Option("--keep-empty", help="With --drop-bucket: empty the bucket but keep it, and with it the name.")
]


def warn_of_name(bucket: str, *, keep_empty: bool) -> None:
    """Warn on standard error that another account may take the name of a bucket that is deleted, not kept."""
    if keep_empty or not is_global(bucket):
        return
    say_aside(
        f"once {bucket} is deleted, any AWS account can create a bucket of that name and receive requests that are still sent"
        " there. --keep-empty empties the bucket and keeps it.",
        label="Warning: ",
    )


@dataclass(frozen=True, slots=True)
class Removal:
    """What to confirm: a sentence on what happens, a table of what is deleted, a sentence on what cannot be undone."""

    what: str
    final: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]


def confirm(removal: Removal, name: str, *, yes: bool) -> None:
    """Ask the person at the terminal to type `name`, unless `yes` is given. Raises NotConfirmed if they do not."""
    if yes:
        return
    if not sys.stdin.isatty():
        what = f"not confirmed, nothing was changed. {removal.what}. {removal.final}"
        raise NotConfirmed(what, hint="add --yes to skip the confirmation", subject=name)
    _show(removal)
    typer.echo(f"Type {escape_controls(name)} to go on: ", err=True, nl=False)
    try:
        typed = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise Interrupted("interrupted: nothing was changed", hint="run the same command again") from None
    if typed != name:
        hint = f"type {name} exactly, or add --yes"
        raise NotConfirmed("it was not confirmed: nothing was changed", hint=hint, subject=name)


def _show(removal: Removal) -> None:
    say(f"{removal.what}{':' if removal.rows else '.'}", stderr=True)
    if removal.rows:
        say("", stderr=True)
        table(removal.headings, removal.rows[:SHOWN], always=len(removal.headings), stderr=True)
        if len(removal.rows) > SHOWN:
            say(f"… and {len(removal.rows) - SHOWN:,} more lines", stderr=True)
        say("", stderr=True)
    say(removal.final, stderr=True)
