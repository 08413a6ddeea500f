"""The commands that move documents: init, migrate, migrate-all, cutover, accept.

Each imports what it runs when it runs: help and completion need none of it, and no command needs all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli import looking
from rehouse.cli.options import (
    CodeOption,
    DryRunOption,
    ExcludeOption,
    InactiveOption,
    MaxRateOption,
    OnlyFailedOption,
    OnlyOption,
    OutputOption,
    ReasonOption,
    SlugArgument,
    UntilOption,
    phase,
)

if TYPE_CHECKING:
    from rehouse.operations.report import ReturnReport, TenantReport
    from rehouse.operations.steps.run import Order


def init(
    *,
    sql: Annotated[bool, typer.Option("--sql", help="Print the DDL for a DBA and run nothing.")] = False,
    accept_mapping: Annotated[
        bool,
        typer.Option("--accept-mapping", help="Accept a mapping other than the one that the ledger was made under."),
    ] = False,
    output: OutputOption = "text",
) -> None:
    """Create or adopt the ledger's tables in the application's database; run twice it changes nothing.

    Examples: `rehouse init`, `rehouse init --sql > rehouse.sql`.
    """
    from rehouse.cli.logs import logging_to
    from rehouse.cli.output import as_json, say
    from rehouse.cli.services import settings_only
    from rehouse.operations import init as initialising

    if sql:
        print(initialising.statements(settings_only(), accept_mapping=accept_mapping), end="")
        return
    settings = settings_only()
    with logging_to(settings.log_file):
        changed = initialising.initialise(settings, accept_mapping=accept_mapping)
    if output == "json":
        as_json({"changed": changed})
    else:
        say(*(changed or ["nothing to do: the schema is up to date"]))


def migrate(
    slug: SlugArgument,
    *,
    until: UntilOption = "cut_over",
    only_failed: OnlyFailedOption = False,
    code: CodeOption = None,
    dry_run: DryRunOption = False,
    max_rate: MaxRateOption = None,
    output: OutputOption = "text",
) -> None:
    """Move one tenant into a bucket of its own: plan, provision, copy, verify, cut over. Safe to repeat.

    Examples: `rehouse migrate acme`, `rehouse migrate acme --until verified`, `rehouse migrate acme --dry-run`.
    """
    if dry_run:
        return looking.plan(slug, output=output)
    from rehouse.cli.services import services
    from rehouse.operations import migrate as migrating

    with services(writes=True, max_rate=max_rate, slugs=[slug]) as opened:
        report = migrating.migrate_one(opened, opened.ledger.tenant(slug), _order(until, only_failed, code))
    return _finish([report], output)


def migrate_all(
    *,
    include_inactive: InactiveOption = False,
    only: OnlyOption = None,
    exclude: ExcludeOption = None,
    until: UntilOption = "cut_over",
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many tenants at a time.")] = 4,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Begin no tenant after one has failed.")] = False,
    only_failed: OnlyFailedOption = False,
    code: CodeOption = None,
    dry_run: DryRunOption = False,
    max_rate: MaxRateOption = None,
    output: OutputOption = "text",
) -> None:
    """Move every active tenant; a failed one does not stop the others. Safe to repeat: only what is left is done.

    Examples: `rehouse migrate-all`, `rehouse migrate-all --only acme --only globex`, `rehouse migrate-all --parallel 8`.
    """
    if dry_run:
        return looking.planned(include_inactive, only, exclude, orphans=False, output=output)
    from rehouse.cli.services import services
    from rehouse.operations import migrate as migrating
    from rehouse.operations.selection import chosen

    with services(writes=True, max_rate=max_rate, slugs=[*(only or ()), *(exclude or ())]) as opened:
        tenants = chosen(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        reports_made = migrating.migrate_all(
            opened, tenants, _order(until, only_failed, code), parallel=parallel, fail_fast=fail_fast
        )
    return _finish(reports_made, output, interrupted=opened.stopping.is_set())


def cutover(
    slug: SlugArgument,
    *,
    canary: Annotated[int, typer.Option(min=0, help="Read so many documents in full first.")] = 0,
    max_rate: MaxRateOption = None,
    output: OutputOption = "text",
) -> None:
    """Switch a verified tenant to its own bucket and flip its documents; with a canary a few of them first.

    Examples: `rehouse cutover acme`, `rehouse cutover acme --canary 20`.
    """
    from rehouse.cli.services import services
    from rehouse.operations import cutover as cutting_over

    with services(writes=True, max_rate=max_rate, slugs=[slug]) as opened:
        report = cutting_over.cutover(opened, opened.ledger.tenant(slug), canary=canary)
    return _finish([report], output)


def accept(
    slug: SlugArgument,
    documents: Annotated[
        list[str], typer.Argument(metavar="DOCUMENT", help="Its id; several may be named.", show_default=False)
    ],
    *,
    reason: ReasonOption,
    output: OutputOption = "text",
) -> None:
    """Leave documents that cannot be moved where they are, on purpose: they count as no error from then on.

    Example: `rehouse accept acme 7f3a 81bc --reason "lost before 2024, the customer knows"`.
    """
    from rehouse.cli.output import say
    from rehouse.cli.services import services
    from rehouse.operations import accept as accepting

    with services(writes=True, slugs=[slug]) as opened:
        report = accepting.accept(opened, opened.ledger.tenant(slug), documents, reason)
    if output == "text":
        say(*(f"accepted: {document}" for document in documents))
    return _finish_accepted(report, output)


def _finish_accepted(report: TenantReport | ReturnReport, output: str) -> None:
    from rehouse.cli.commands.rollback import finish_returned
    from rehouse.operations.report import ReturnReport

    if isinstance(report, ReturnReport):
        return finish_returned([report], output)
    return _finish([report], output, ran=False)


def _order(until: str, only_failed: bool, code: str | None) -> Order:
    from rehouse.core.errors import ConfigurationError
    from rehouse.operations.steps.run import Order

    if code is not None and not only_failed:
        raise ConfigurationError("--code says which failures are meant", hint="use it together with --only-failed")
    return Order(phase(until), only_failed=only_failed, code=code)


def _finish(made: list[TenantReport], output: str, *, ran: bool = True, interrupted: bool = False) -> None:
    from rehouse.cli import reports
    from rehouse.cli.output import as_json
    from rehouse.cli.services import finish

    if output == "json":
        as_json(reports.migration_object(made))
    else:
        reports.show_migration(made, ran=ran)
    finish(well=not any(report.errors for report in made), interrupted=interrupted)
