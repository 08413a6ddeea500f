"""The command `cutover`."""

from __future__ import annotations

from typing import Annotated

import typer

from rehouse.cli.options import AllowQuarantinedOption, MaxRateOption, OutputOption, ProgressOption, SlugArgument
from rehouse.cli.reports import end_migration


def cutover(
    slug: SlugArgument,
    *,
    canary: Annotated[int, typer.Option(min=0, help="How many documents to read back before switching the rest.")] = 0,
    allow_quarantined: AllowQuarantinedOption = False,
    max_rate: MaxRateOption = None,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Switch a verified tenant to its own bucket. It flips the documents; with --canary, a few of them first.

    Examples: `rehouse cutover acme`, `rehouse cutover acme --canary 20`.
    """
    from rehouse.cli.services import services
    from rehouse.operations import cutover as cutting_over

    with services(writes=True, max_rate=max_rate, slugs=[slug], progress=progress) as opened:
        report = cutting_over.cutover(opened, opened.ledger.tenant(slug), canary=canary)
    return end_migration([report], output, summary=opened.summary(), allow_quarantined=allow_quarantined)
