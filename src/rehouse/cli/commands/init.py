"""The command `init`."""

from __future__ import annotations

from typing import Annotated

import typer

from rehouse.cli.options import OutputOption
from rehouse.cli.output import print_report, say, say_next
from rehouse.core.next_steps import after_init


def init(
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the DDL for a DBA and run nothing.")] = False,
    accept_mapping: Annotated[
        bool,
        typer.Option("--accept-mapping", help="Accept a mapping other than the one that the ledger was made for."),
    ] = False,
    output: OutputOption = "text",
) -> None:
    """Create the ledger in the application's database, or upgrade it. It is safe to repeat.

    Examples: `rehouse init`, `rehouse init --sql > rehouse.sql`.
    """
    from rehouse.cli.logs import log_to
    from rehouse.cli.services import load_settings
    from rehouse.operations import init as initialising

    if sql:
        statements = initialising.statements(load_settings(), accept_mapping=accept_mapping)
        return print_report(output, {"sql": statements}, lambda: print(statements, end=""))
    settings = load_settings()
    with log_to(settings.log_file):
        changed, has_migrations = initialising.initialise(settings, accept_mapping=accept_mapping)
    lines = changed or ["nothing to do: the schema is up to date"]

    def show() -> None:
        say(*lines)
        say_next(after_init(has_migrations=has_migrations))

    print_report(output, {"changed": changed}, show)
    return None
