"""The command `doctor`: its checks, each with its way out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.options import OutputOption
from rehouse.cli.output import print_report, say, say_next

if TYPE_CHECKING:
    from rehouse.operations.doctor import Check


ProbeOption = Annotated[bool, typer.Option("--probe", help="Try the writes too, in a scratch bucket that is removed.")]


FindPointersOption = Annotated[
    bool, typer.Option("--find-pointers", help="Only look for keys in the columns outside the mapping.")
]


def doctor(
    *, probe: ProbeOption = False, find_pointers: FindPointersOption = False, output: OutputOption = "text"
) -> None:
    """Check whether a migration can work, and what is in the way. Looks at the database, credentials, rights and buckets.

    Examples: `rehouse doctor`, `rehouse doctor --probe`, `rehouse doctor --find-pointers`.
    """
    from rehouse.cli.services import finish, settings_only
    from rehouse.operations import doctor as examining

    if find_pointers:
        checks = list(examining.find_pointers(settings_only()))
    else:
        checks = list(examining.examine(settings_only(), probe=probe))
    is_well = not examining.exit_status(checks)

    def show() -> None:
        show_checks(checks, examining.summary(checks))
        say_next("rehouse plan" if is_well and not find_pointers else None)

    print_report(output, {"checks": checks}, show)
    finish(well=is_well)


def show_checks(checks: Sequence[Check], summary: str) -> None:
    """Print the doctor's checks, each with its way out, and the summary."""
    for each in checks:
        say(f"{each.outcome:<16}{each.subject}: {each.detail}")
        if each.hint and each.outcome != "ok":
            say(f"{'':<16}  hint: {each.hint}")
    say("", summary)
