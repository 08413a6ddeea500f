"""What cannot be undone is confirmed first: a name typed on a terminal, or `--yes`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from rehouse.core.errors import Interrupted, Refused
from rehouse.core.legible import legible

YesOption = Annotated[bool, typer.Option("--yes", help="Ask for no confirmation.")]


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
