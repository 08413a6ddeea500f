"""The commands that remove what is not needed any more: finish, cleanup, uninstall. Whatever they delete is confirmed first.

Each imports what it runs when it runs: help and completion need none of it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.confirm import KeepEmptyOption, YesOption, confirm, warn_of_name
from rehouse.cli.options import MaxRateOption, OneOrAllSlug, OutputOption
from rehouse.core.durations import duration, spelled

if TYPE_CHECKING:
    from rehouse.operations.finish import FinishReport


def _age(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


AllOption = Annotated[bool, typer.Option("--all", help="Every tenant that was cut over.")]
AfterOption = Annotated[
    timedelta | None,
    typer.Option(
        parser=_age, metavar="AGE", help="How long ago a document was flipped: 7d, 12h, 30m, 0.", show_default=False
    ),
]
ForeseeOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be removed and change nothing.")]
CheckAllOption = Annotated[
    bool, typer.Option("--check-all", help="Look for every key in every row of the other columns, not for samples.")
]
AcceptUncheckedOption = Annotated[
    bool, typer.Option("--accept-unchecked", help="Go on although other columns could not be searched for keys.")
]
FinalOption = Annotated[
    bool, typer.Option("--final", help="Remove sources for good where the shared bucket's versioning is suspended.")
]
ColumnsOption = Annotated[
    bool, typer.Option("--columns", help="Also remove the columns that init added, unless rows need them.")
]
UsageOption = Annotated[bool, typer.Option("--usage", help="Also remove the table tenant_usage.")]
DropOption = Annotated[
    str | None,
    typer.Option("--drop-bucket", metavar="BUCKET", help="Remove this shared bucket.", show_default=False),
]


def finish(
    slug: OneOrAllSlug = None,
    *,
    everyone: AllOption = False,
    after: AfterOption = None,
    dry_run: ForeseeOption = False,
    check_all: CheckAllOption = False,
    accept_unchecked: AcceptUncheckedOption = False,
    final: FinalOption = False,
    yes: YesOption = False,
    max_rate: MaxRateOption = None,
    output: OutputOption = "text",
) -> None:
    """Remove the sources of the documents that were moved long enough ago. It sweeps first; safe to repeat.

    Examples: `rehouse finish acme --dry-run`, `rehouse finish acme`, `rehouse finish --all --yes`.
    """
    from rehouse.cli.services import services, settings_only
    from rehouse.operations import finish as finishing
    from rehouse.operations.checks.pointers import Look
    from rehouse.operations.selection import chosen

    if (slug is None) is not everyone:
        raise typer.BadParameter("name one tenant, or --all")
    grace = settings_only().grace if after is None else after
    if not (dry_run or yes):
        with services(writes=False) as opened:  # what is refused anyway is refused before anybody is asked
            due = finishing.due(opened, opened.ledger.tenant(slug) if slug else None, grace=grace, final=final)
        confirm(_warning(due, slug, grace, settings_only().grace), slug or "all", yes=yes)
    look = Look(check_all, accept_unchecked)
    with services(writes=not dry_run, max_rate=max_rate, slugs=[slug] if slug else []) as opened:
        if slug:
            tenant = opened.ledger.tenant(slug)
            made = [finishing.finish_one(opened, tenant, grace=grace, dry_run=dry_run, look=look, final=final)]
        else:
            tenants = chosen(opened, include_inactive=True)
            made = finishing.finish_all(opened, tenants, grace=grace, dry_run=dry_run, look=look, final=final)
    _show_finish(made, output, dry_run=dry_run, interrupted=opened.stopping.is_set())


def cleanup(
    *,
    drop_bucket: DropOption = None,
    keep_empty: KeepEmptyOption = False,
    yes: YesOption = False,
    output: OutputOption = "text",
) -> None:
    """Show what is left in the shared buckets and why; remove a shared bucket that nobody needs any more.

    Examples: `rehouse cleanup`, `rehouse cleanup --drop-bucket dataroom-v2-documents`.
    """
    from rehouse.cli import ending_reports
    from rehouse.cli.output import as_json
    from rehouse.cli.services import services
    from rehouse.operations import cleanup as cleaning

    if keep_empty and not drop_bucket:
        raise typer.BadParameter("--keep-empty goes with --drop-bucket")
    if drop_bucket:
        warn_of_name(drop_bucket, keep_empty=keep_empty)
    if drop_bucket and not yes:
        with services(writes=False) as opened:
            cleaning.refuse_what_may_not_go(opened, drop_bucket)
        what = "every version in the bucket" if keep_empty else "the bucket"
        kept = "" if keep_empty else " with every version that it keeps"
        confirm(f"This removes {what} {drop_bucket}{kept}, for good", drop_bucket, yes=yes)
    with services(writes=drop_bucket is not None) as opened:
        made = (
            [cleaning.drop_bucket(opened, drop_bucket, keep_empty=keep_empty)]
            if drop_bucket
            else cleaning.cleanup(opened)
        )
    if output == "json":
        as_json({"buckets": made})
    else:
        ending_reports.show_cleanup(made)


def uninstall(
    *,
    dry_run: ForeseeOption = False,
    columns: ColumnsOption = False,
    usage: UsageOption = False,
    yes: YesOption = False,
    output: OutputOption = "text",
) -> None:
    """Remove what init made in the database: triggers, functions, the ledger. Refused while a tenant needs it.

    Examples: `rehouse uninstall --dry-run`, `rehouse uninstall --columns`.
    """
    from rehouse.cli import ending_reports
    from rehouse.cli.output import as_json
    from rehouse.cli.services import settings_only
    from rehouse.operations import uninstall as removing

    settings = settings_only()
    if not dry_run:
        removing.uninstall(settings, dry_run=True, columns=columns, usage=usage)
        confirm("This removes the ledger with the history of every migration, for good", "uninstall", yes=yes)
    made = removing.uninstall(settings, dry_run=dry_run, columns=columns, usage=usage)
    if output == "json":
        as_json(made)
    else:
        ending_reports.show_uninstalled(made)


def _warning(due: int, slug: str | None, grace: timedelta, usual: timedelta) -> str:
    from rehouse.core.removals import given_up

    age = f" at least {spelled(grace)} ago" if grace else ", however recently"
    whose = f"documents of {slug or 'every tenant'} that were moved{age}"
    what = (
        f"This removes from the shared bucket the sources of {whose} ({due:,} by now); there is no rollback afterwards"
    )
    gives_up = given_up(grace, usual)
    return f"{what}; {gives_up}" if gives_up else what


def _show_finish(made: list[FinishReport], output: str, *, dry_run: bool, interrupted: bool) -> None:
    from rehouse.cli import ending_reports
    from rehouse.cli.output import as_json
    from rehouse.cli.services import finish as end

    if output == "json":
        as_json(ending_reports.finish_object(made, dry_run=dry_run))
    else:
        ending_reports.show_finish(made, dry_run=dry_run)
    end(well=not any(each.errors for each in made), interrupted=interrupted)
