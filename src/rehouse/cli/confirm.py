"""What cannot be undone is confirmed first: a name typed on a terminal, or `--yes`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rehouse.core.errors import Interrupted, Refused
from rehouse.core.escaping import legible
from rehouse.core.naming import is_global

YesOption = Annotated[bool, typer.Option("--yes", help="Ask for no confirmation.")]
KeepEmptyOption = Annotated[
    bool, typer.Option("--keep-empty", help="With --drop-bucket: empty the bucket but keep it, and with it the name.")
]


def warn_of_name(bucket: str, *, keep_empty: bool) -> None:
    """Warn on standard error that another account may take the name of a bucket that is deleted; not of one that is kept."""
    if keep_empty or not is_global(bucket):
        return
    name = legible(bucket)
    typer.echo(
        f"Warning: once {name} is deleted, any AWS account can create a bucket of that name and receive what is still sent"
        " there. --keep-empty empties the bucket and keeps it.",
        err=True,
    )


def confirm(what: str, name: str, *, yes: bool) -> None:
    """Return if the person at the terminal types `name`, or with `yes`; raise Refused otherwise: nothing was changed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(f"not confirmed, nothing was changed. {what}", hint="add --yes where nobody can be asked")
    typer.echo(legible(what), err=True)
    typer.echo(f"Type {legible(name)} to go on: ", err=True, nl=False)
    try:
        typed = sys.stdin.readline().strip()
    except KeyboardInterrupt:
        typer.echo(err=True)
        raise Interrupted("interrupted: nothing was changed", hint="run the same command again") from None
    if typed != name:
        raise Refused("it was not confirmed: nothing was changed", hint=f"type {name} exactly, or add --yes")
