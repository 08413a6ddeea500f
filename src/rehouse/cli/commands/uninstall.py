"""The command `uninstall`: what is removed from the database, and what stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.confirm import Removal, YesOption, confirm
from rehouse.cli.options import OutputOption
from rehouse.cli.output import print_report, say, say_next
from rehouse.core.next_steps import after_uninstall

if TYPE_CHECKING:
    from rehouse.operations.uninstall import UninstallReport


ForeseeOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed and change nothing.")]


ColumnsOption = Annotated[
    bool, typer.Option("--columns", help="Also remove the columns that init added, unless rows need them.")
]


UsageOption = Annotated[bool, typer.Option("--usage", help="Also remove the table tenant_usage.")]


def uninstall(
    *,
    dry_run: ForeseeOption = False,
    columns: ColumnsOption = False,
    usage: UsageOption = False,
    yes: YesOption = False,
    output: OutputOption = "text",
) -> None:
    """Remove from the database what init made. Triggers, functions and the ledger go, unless a tenant needs them.

    Examples: `rehouse uninstall --dry-run`, `rehouse uninstall --columns`.
    """
    from rehouse.cli.services import load_settings
    from rehouse.operations import uninstall as removing

    settings = load_settings()
    if not dry_run:
        goes = removing.uninstall(settings, dry_run=True, columns=columns, usage=usage)
        confirm(_removal(goes), "uninstall", yes=yes or not goes.removed)
    made = removing.uninstall(settings, dry_run=dry_run, columns=columns, usage=usage)
    chosen = " --columns" * columns + " --usage" * usage

    def show() -> None:
        show_uninstall(made)
        say_next(after_uninstall(f"rehouse uninstall{chosen}", dry_run=dry_run, is_any_there=bool(made.removed)))

    print_report(output, made, show)


def _removal(goes: UninstallReport) -> Removal:
    return Removal(
        what="This removes from the database what `rehouse init` made",
        final="The history of every migration goes with the ledger and cannot be restored; "
        "neither rollback nor finish is possible afterwards.",
        headings=("what goes",),
        rows=[(name,) for name in goes.removed],
    )


def show_uninstall(made: UninstallReport) -> None:
    """Print what was removed, or would be, and what stays."""
    if not made.removed:
        say("Nothing to do: rehouse has nothing in this database.")
        return
    say("Would be removed:" if made.dry_run else "Removed:", *(f"  {name}" for name in made.removed))
    if made.kept:
        say("", "Kept:", *(f"  {name}: {reason}" for name, reason in made.kept.items()))
