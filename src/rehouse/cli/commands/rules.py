"""The command `rules`: what the application must do while tenants move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rehouse.cli.options import OutputOption
from rehouse.cli.output import console, print_report, say, wrap_line

if TYPE_CHECKING:
    from rehouse.operations.rules import Rules

LONGEST_LINE = 100


def rules(*, output: OutputOption = "text") -> None:
    """Print what the application must do while tenants move. The rules name its own tables and columns.

    Examples: `rehouse rules`, `rehouse rules --output json`.
    """
    from rehouse.cli.services import load_settings
    from rehouse.operations import rules as ruling

    made = ruling.rules(load_settings())
    print_report(output, made, lambda: show_rules(made))


def show_rules(made: Rules) -> None:
    """Print the rules as a numbered list."""
    say("While tenants move, the application must follow these rules:", "")
    for number, rule in enumerate(made.rules, 1):
        say(*wrap_line(f"{number}. {rule}", min(console().width, LONGEST_LINE)))
