"""`rehouse config`: the effective settings and where each comes from. It imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from rehouse.cli.options import OutputOption

ChangedOption = Annotated[bool, typer.Option("--changed", help="Only the settings that a file or a variable sets.")]


def config(*, changed: ChangedOption = False, output: OutputOption = "text") -> None:
    """Print the effective settings, and where each comes from. Secrets are masked.

    Examples: `rehouse config`, `rehouse config --changed`, `rehouse config --output json`.
    """
    from rehouse import config as settings
    from rehouse.cli.output import print_report, say, say_next, table
    from rehouse.core.next_steps import AFTER_CONFIG

    rows = [
        (name, value, origin)
        for name, value, origin in settings.effective_settings(settings.load())
        if not changed or origin != settings.DEFAULT
    ]

    def show() -> None:
        if rows:
            table(("setting", "value", "from"), rows, whole=("setting",))
        else:
            say("Every setting has its default.")
        say_next(AFTER_CONFIG)

    print_report(output, {"settings": {name: {"value": value, "from": origin} for name, value, origin in rows}}, show)
