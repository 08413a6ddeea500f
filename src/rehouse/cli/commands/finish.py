"""The command `finish`: ask for a confirmation, remove sources, and print what was removed and what stays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rehouse.cli.confirm import Removal, YesOption, confirm
from rehouse.cli.options import AllowQuarantinedOption, MaxRateOption, OneOrAllSlug, OutputOption, ProgressOption
from rehouse.cli.output import SHOWN, Attention, add_up, print_report, say, say_more, say_next, say_note, table
from rehouse.cli.progress import Bytes
from rehouse.cli.reports import failures_of, name_tenant, show_mentions, show_unchecked, tenant_object
from rehouse.core.durations import format_duration, parse_duration, spell_duration
from rehouse.core.escaping import count_noun
from rehouse.core.next_steps import FinishResult, after_finish

if TYPE_CHECKING:
    from rehouse.operations.finish import FinishReport
    from rehouse.operations.steps.due_sources import Due


def _age(text: str) -> timedelta:
    try:
        return parse_duration(text)
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
    bool, typer.Option("--check-all", help="Search every row of the other columns for every key, not only a sample.")
]


AcceptUncheckedOption = Annotated[
    bool, typer.Option("--accept-unchecked", help="Continue even if other columns could not be searched for keys.")
]


FinalOption = Annotated[
    bool, typer.Option("--final", help="Destroy sources permanently if the shared bucket's versioning is suspended.")
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
    allow_quarantined: AllowQuarantinedOption = False,
    yes: YesOption = False,
    max_rate: MaxRateOption = None,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Remove the sources of documents moved long enough ago. It sweeps first; safe to repeat.

    Examples: `rehouse finish acme --dry-run`, `rehouse finish acme`, `rehouse finish --all --yes`.
    """
    from rehouse.cli.services import load_settings, services
    from rehouse.operations import finish as finishing
    from rehouse.operations.checks.pointers import Look
    from rehouse.operations.selection import choose_tenants
    from rehouse.operations.steps.due_sources import due_sources

    if (slug is None) is not everyone:
        raise typer.BadParameter("name one tenant, or --all")
    grace = load_settings().grace if after is None else after
    if not (dry_run or yes):
        with services(writes=False, progress=progress) as opened:  # refuse before asking for a confirmation
            due = due_sources(opened, opened.ledger.tenant(slug) if slug else None, grace=grace, final=final)
        confirm(_removal(due, slug, grace, load_settings().grace), slug or "all", yes=yes)
    options = [
        *([] if after is None else [f"--after {format_duration(after)}"]),
        *["--check-all"] * check_all,
        *["--accept-unchecked"] * accept_unchecked,
        *["--final"] * final,
        *["--allow-quarantined"] * allow_quarantined,
    ]
    look = Look(check_all, accept_unchecked)
    with services(writes=not dry_run, max_rate=max_rate, slugs=[slug] if slug else [], progress=progress) as opened:
        if slug:
            tenant = opened.ledger.tenant(slug)
            made = [finishing.finish_one(opened, tenant, grace=grace, dry_run=dry_run, look=look, final=final)]
        else:
            tenants = choose_tenants(opened, include_inactive=True)
            made = finishing.finish_all(opened, tenants, grace=grace, dry_run=dry_run, look=look, final=final)
    _show_finish(
        made,
        output,
        again=" ".join(["rehouse finish", quote(slug) if slug else "--all", *options]),
        dry_run=dry_run,
        summary=opened.summary(),
        interrupted=opened.stopping.is_set(),
        allow_quarantined=allow_quarantined,
    )


def _removal(due: Sequence[Due], slug: str | None, grace: timedelta, usual: timedelta) -> Removal:
    from rehouse.core.removals import describe_finality, describe_shorter_grace

    age = f" at least {spell_duration(grace)} ago" if grace else ", however recently"
    whose = f"documents of {slug or 'every tenant'} that were moved{age}"
    count = sum(each.documents for each in due)
    gives_up = describe_shorter_grace(grace, usual)
    return Removal(
        what=f"This removes from the shared bucket the sources of {whose} ({count:,} at present)",
        final=describe_finality([each.versioning for each in due])
        + (f" {gives_up[0].upper()}{gives_up[1:]}." if gives_up else ""),
        headings=("tenant", "documents", "bytes", "bucket"),
        rows=[(each.slug, each.documents, Bytes(each.size), each.bucket) for each in due],
    )


def _show_finish(
    made: list[FinishReport],
    output: str,
    *,
    again: str,
    dry_run: bool,
    summary: str,
    interrupted: bool,
    allow_quarantined: bool,
) -> None:
    from rehouse.cli.services import finish_by

    def show() -> None:
        show_finish(made, dry_run=dry_run)
        say(summary)
        say_next(
            None if interrupted else after_finish([_result_of(each) for each in made], command=again, dry_run=dry_run)
        )

    print_report(output, finish_object(made, dry_run=dry_run), show, failures_of(made))
    finish_by(made, allow_quarantined=allow_quarantined, interrupted=interrupted)


def _result_of(report: FinishReport) -> FinishResult:
    is_held = report.held_back or bool(report.left) or report.error is not None
    return FinishResult(report.slug, report.phase, report.sources_removed, len(report.outstanding), is_held)


def show_finish(reports: Sequence[FinishReport], *, dry_run: bool) -> None:
    """Print for each tenant what was removed, what was kept and why; then the closing line."""
    table(
        ("tenant", "state", "phase", "to remove" if dry_run else "removed", "bytes", "waiting", "next (UTC)", "left", "changed",
         "put back", "moved", "outstanding", "bucket"),
        (
            (
                each.slug, each.state, each.phase, each.sources_removed, Bytes(each.bytes_removed), each.waiting, each.next_at,
                Attention(len(each.left)), each.sources_changed, each.put_back, each.this_run, Attention(len(each.outstanding)),
                each.home_bucket,
            )
            for each in reports
        ),
        always=4,
        spare=("bucket", "bytes", "phase"),
    )  # fmt: skip
    for each in reports:
        if each.error:
            say("", name_tenant(each.slug, each.error), f"  hint: {each.hint}")
        _show_pointers(each, dry_run=dry_run)
        if each.left:
            say("", f"{each.slug}: sources that stay")
            say(
                *(
                    f"  {left.document_id}  {left.code}  {left.source.bucket}/{left.source.key}: {left.message}"
                    for left in each.left[:SHOWN]
                )
            )
            say_more(len(each.left))
            say(*(f"  {reason}: {hint}" for reason, hint in sorted({(left.code, left.hint) for left in each.left})))
        if each.outstanding:
            say(
                "",
                f"{each.slug}: {count_noun(len(each.outstanding), 'document')} could not be moved: rehouse status {each.slug}",
            )
    for setting in sorted({setting for each in reports for setting in each.not_offered}):
        say(f"not offered by this endpoint: {setting}")
    for sentence in sorted({each.gives_up for each in reports if each.gives_up}):
        say_note(sentence)
    for sentence in sorted({sentence for each in reports for sentence in each.kept_versions}):
        say_note(sentence)
    say("", closing_line(reports, dry_run=dry_run))


def _show_pointers(report: FinishReport, *, dry_run: bool) -> None:
    """Print which columns outside the mapping hold keys or were not searched, and whether sources are removed."""
    from rehouse.operations.checks.pointers import POINTERS_HINT, UNCHECKED_HINT

    nothing = "nothing would be removed" if dry_run else "nothing is removed"
    if report.pointers:
        say("", f"{report.slug}: {nothing}: columns outside the mapping hold keys of its sources")
        show_mentions(report.pointers)
        say(f"  hint: {POINTERS_HINT}")
    if report.unchecked:
        outcome = f"{nothing}: columns" if report.held_back else "columns"
        say("", f"{report.slug}: {outcome} could not be searched for keys of its sources")
        show_unchecked(report.unchecked)
        if report.held_back:
            say(f"  hint: {UNCHECKED_HINT}")
    if report.in_part:
        say(
            "",
            f"{report.slug}: rehouse read only a sample of {', '.join(report.in_part)}: `--check-all` reads every row",
        )


def closing_line(reports: Sequence[FinishReport], *, dry_run: bool) -> str:
    """Return the line that closes a finish report."""
    removed, waiting, errors = add_up(reports, "sources_removed", "waiting", "errors")
    if dry_run:
        return f"Sources to remove: {removed:,}, Waiting: {waiting:,}, Errors: {errors:,}. Nothing was changed."
    return f"Sources removed: {removed:,}, Waiting: {waiting:,}, Errors: {errors:,}"


def finish_object(reports: Sequence[FinishReport], *, dry_run: bool) -> dict[str, Any]:
    """Return what `finish --output json` prints."""
    removed, waiting, errors = add_up(reports, "sources_removed", "waiting", "errors")
    tenants = [tenant_object(each) for each in reports]
    return {
        "dry_run": dry_run,
        "sources_removed": removed,
        "waiting": waiting,
        "error_count": errors,
        "tenants": tenants,
    }
