"""The command `doctor`: print problems with their hints, then a line for each group of checks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli import output as printing
from rehouse.cli.options import OutputOption
from rehouse.cli.output import print_report, say, say_next
from rehouse.core.escaping import escape_controls

if TYPE_CHECKING:
    from rehouse.operations.doctor import Check

COLORS = {"ok": printing.GREEN, "notice": printing.YELLOW, "could not check": printing.YELLOW, "failed": printing.RED}
MARGIN = max(map(len, COLORS)) + 2

ProbeOption = Annotated[
    bool, typer.Option("--probe", help="Test writes too, in a scratch bucket that is removed afterwards.")
]
FindPointersOption = Annotated[
    bool, typer.Option("--find-pointers", help="Only search the columns outside the mapping for keys.")
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="List every check, not only the problems.")]


def doctor(
    *,
    probe: ProbeOption = False,
    find_pointers: FindPointersOption = False,
    verbose: VerboseOption = False,
    output: OutputOption = "text",
) -> None:
    """Check whether a migration can work, and what is in the way. Checks the database, credentials, rights and buckets.

    Examples: `rehouse doctor`, `rehouse doctor --verbose`, `rehouse doctor --probe`, `rehouse doctor --find-pointers`.
    """
    from rehouse.cli.services import finish, load_settings
    from rehouse.operations import doctor as examining

    if find_pointers:
        checks = list(examining.find_pointers(load_settings()))
    else:
        checks = list(examining.examine(load_settings(), probe=probe))
    is_well = not examining.exit_status(checks)

    def show() -> None:
        show_checks(checks, verbose=printing.style.verbose or verbose)
        say_next("rehouse plan" if is_well and not find_pointers else None)

    print_report(output, {"checks": checks}, show)
    finish(well=is_well)


def show_checks(checks: Sequence[Check], *, verbose: bool = False) -> None:
    """Print the problems with their hints, the worst first, then the groups; with `verbose`, every check."""
    from rehouse.operations import doctor as examining

    found = examining.problems(checks)
    for problem in found:
        _show(problem.outcome, f"{problem.subject}: {problem.detail}", f"Hint: {problem.hint}" if problem.hint else "")
    if found:
        say("")
    for summary in examining.summaries(checks):
        passed = [each for each in checks if verbose and each.group is summary.group and each.outcome == "ok"]
        _show(
            summary.outcome,
            f"{summary.group}: {summary.counts}",
            *(f"  {each.subject}: {each.message}" for each in passed),
        )
    say("", examining.summary(checks))


def _show(outcome: str, *paragraphs: str) -> None:
    """Print paragraphs beside the word for an outcome, which is coloured."""
    from rich.text import Text

    out = printing.console()
    width = out.width if not printing.style.wide else printing.WIDTH_OF_A_PIPE
    lines: list[str] = []
    for paragraph in map(escape_controls, filter(None, paragraphs)):
        room = max(width - MARGIN, printing.NARROWEST)
        hanging = " " * (len(paragraph) - len(paragraph.lstrip()) + 2)
        lines += textwrap.wrap(
            paragraph, room, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )
    shown = Text("\n".join(f"{outcome if number == 0 else '':<{MARGIN}}{line}" for number, line in enumerate(lines)))
    shown.stylize(COLORS[outcome], 0, len(outcome))
    out.print(shown, soft_wrap=True)
