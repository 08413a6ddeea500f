"""The options and arguments that several commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from rehouse.cli.completion import offer_codes, offer_tenants
from rehouse.cli.progress import Kind
from rehouse.core.lifecycle import Phase

Output = Literal["text", "json"]
Until = Literal["planned", "provisioned", "copied", "verified", "cut_over"]

OutputOption = Annotated[Output, typer.Option("--output", "-o", help="text, or one JSON object on stdout.")]
SlugArgument = Annotated[
    str,
    typer.Argument(metavar="SLUG", help="The tenant's slug or id.", show_default=False, autocompletion=offer_tenants),
]
OptionalSlug = Annotated[
    str | None,
    typer.Argument(
        metavar="SLUG",
        help="One tenant, by its slug or id; by default all of them.",
        show_default=False,
        autocompletion=offer_tenants,
    ),
]
OneOrAllSlug = Annotated[
    str | None,
    typer.Argument(
        metavar="SLUG",
        help="The tenant's slug or id; or --all.",
        show_default=False,
        autocompletion=offer_tenants,
    ),
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SLUG", help="Only this tenant (slug or id); can be repeated.", autocompletion=offer_tenants),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(metavar="SLUG", help="Not this tenant (slug or id); can be repeated.", autocompletion=offer_tenants),
]
InactiveOption = Annotated[bool, typer.Option("--include-inactive", help="Include inactive tenants.")]
UntilOption = Annotated[Until, typer.Option(help="Stop when this phase is reached.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen (the plan) and change nothing.")]
AllowQuarantinedOption = Annotated[
    bool, typer.Option("--allow-quarantined", help="Exit status 0, not 3, if only documents in quarantine stay behind.")
]
OnlyFailedOption = Annotated[bool, typer.Option("--only-failed", help="Process only the documents that failed before.")]
CodeOption = Annotated[
    str | None,
    typer.Option(
        help="With --only-failed: only failures of this code.", show_default=False, autocompletion=offer_codes
    ),
]
ProgressOption = Annotated[
    Kind | None,
    typer.Option(
        help="How to show progress on stderr; by default bars on a terminal, plain elsewhere.", show_default=False
    ),
]
MaxRateOption = Annotated[
    float | None, typer.Option(min=0.1, help="At most this many requests a second.", show_default=False)
]


def _require_reason(reason: str) -> str:
    if not reason.strip():
        raise typer.BadParameter("the reason must not be empty")
    return reason


ReasonOption = Annotated[
    str,
    typer.Option(
        callback=_require_reason, help="Why they may stay where they are; goes into the history.", show_default=False
    ),
]


def phase(until: str) -> Phase:
    """Return the phase that `--until` names."""
    return Phase(until)
