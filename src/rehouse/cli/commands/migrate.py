"""The commands `migrate` and `migrate-all`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.commands.plan import refuse_unplanned, show_plan_of
from rehouse.cli.options import (
    AllowQuarantinedOption,
    CodeOption,
    DryRunOption,
    ExcludeOption,
    InactiveOption,
    MaxRateOption,
    OnlyFailedOption,
    OnlyOption,
    OutputOption,
    ProgressOption,
    SlugArgument,
    UntilOption,
    phase,
)
from rehouse.cli.reports import end_migration
from rehouse.core.errors import BadUsage

if TYPE_CHECKING:
    from rehouse.operations.steps.run import Order

PlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Refuse anything that is not in this plan (see `rehouse plan --save`).",
        show_default=False,
    ),
]


def migrate(
    slug: SlugArgument,
    *,
    until: UntilOption = "cut_over",
    only_failed: OnlyFailedOption = False,
    code: CodeOption = None,
    dry_run: DryRunOption = False,
    plan: PlanOption = None,
    allow_quarantined: AllowQuarantinedOption = False,
    max_rate: MaxRateOption = None,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Move one tenant into a bucket of its own. It plans, provisions, copies, verifies and cuts over; safe to repeat.

    Examples: `rehouse migrate acme`, `rehouse migrate acme --until verified`, `rehouse migrate acme --dry-run`.
    """
    order = _order(until, only_failed, code, dry_run=dry_run)
    if dry_run:
        return show_plan_of(
            True, [slug], None, saved=plan, output=output, allow_quarantined=allow_quarantined, progress=progress
        )
    from rehouse.cli.services import services
    from rehouse.operations import migrate as migrating

    refuse_unplanned(plan, only=[slug], progress=progress)
    with services(writes=True, max_rate=max_rate, slugs=[slug], progress=progress) as opened:
        report = migrating.migrate_one(opened, opened.ledger.tenant(slug), order)
    return end_migration(
        [report], output, summary=opened.summary(), until=order.until, allow_quarantined=allow_quarantined
    )


def migrate_all(
    *,
    include_inactive: InactiveOption = False,
    only: OnlyOption = None,
    exclude: ExcludeOption = None,
    until: UntilOption = "cut_over",
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many tenants at a time.")] = 4,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Start no further tenant after one has failed.")
    ] = False,
    only_failed: OnlyFailedOption = False,
    code: CodeOption = None,
    dry_run: DryRunOption = False,
    plan: PlanOption = None,
    allow_quarantined: AllowQuarantinedOption = False,
    max_rate: MaxRateOption = None,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Move every active tenant into a bucket of its own. A tenant that fails does not stop the others; safe to repeat.

    Examples: `rehouse migrate-all`, `rehouse migrate-all --only acme --only globex`, `rehouse migrate-all --parallel 8`.
    """
    order = _order(until, only_failed, code, dry_run=dry_run)
    if dry_run:
        return show_plan_of(
            include_inactive,
            only,
            exclude,
            saved=plan,
            output=output,
            allow_quarantined=allow_quarantined,
            progress=progress,
        )
    from rehouse.cli.services import services
    from rehouse.operations import migrate as migrating
    from rehouse.operations.selection import choose_tenants

    among = refuse_unplanned(plan, include_inactive=include_inactive, only=only, exclude=exclude, progress=progress)
    with services(writes=True, max_rate=max_rate, slugs=[*(only or ()), *(exclude or ())], progress=progress) as opened:
        tenants = choose_tenants(
            opened, include_inactive=include_inactive, only=only or (), exclude=exclude or (), among=among
        )
        reports_made = migrating.migrate_all(opened, tenants, order, parallel=parallel, fail_fast=fail_fast)
    return end_migration(
        reports_made,
        output,
        summary=opened.summary(),
        until=order.until,
        interrupted=opened.stopping.is_set(),
        allow_quarantined=allow_quarantined,
    )


def _order(until: str, only_failed: bool, code: str | None, *, dry_run: bool) -> Order:
    from rehouse.operations.steps.run import Order

    if code is not None and not only_failed:
        raise BadUsage("--code needs --only-failed", hint="add --only-failed, or leave out --code")
    if only_failed and dry_run:
        hint = "`rehouse status --errors` shows the documents that failed"
        raise BadUsage("--dry-run plans all documents, not only those that failed", hint=hint)
    return Order(phase(until), only_failed=only_failed, code=code)
