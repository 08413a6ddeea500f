"""The command `rollback`: return tenants to the shared bucket, and remove a bucket that nobody uses afterwards.

It imports what it needs when it runs, because help and completion need none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rehouse.cli.confirm import KeepEmptyOption, Removal, YesOption, confirm, warn_of_name
from rehouse.cli.options import MaxRateOption, OneOrAllSlug, OutputOption, ProgressOption
from rehouse.cli.output import Attention, add_up, print_report, say, say_next, say_note, table
from rehouse.cli.progress import Bytes
from rehouse.cli.reports import failures_of, name_tenant, show_left_at_home, tenant_object
from rehouse.core.escaping import count_noun
from rehouse.core.next_steps import after_drop, after_rollback, note_after_rollback

if TYPE_CHECKING:
    from rehouse.operations.buckets.drop import DropReport
    from rehouse.operations.report import ReturnReport

AllOption = Annotated[bool, typer.Option("--all", help="Every tenant whose migration has begun.")]
ForeseeOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen and change nothing.")]
DropOption = Annotated[
    bool, typer.Option("--drop-bucket", help="Remove the tenant's bucket, which is unused after a rollback.")
]


def rollback(
    slug: OneOrAllSlug = None,
    *,
    everyone: AllOption = False,
    dry_run: ForeseeOption = False,
    drop_bucket: DropOption = False,
    keep_empty: KeepEmptyOption = False,
    yes: YesOption = False,
    max_rate: MaxRateOption = None,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Send a tenant back to the shared bucket. Nothing that was uploaded since is lost; safe to repeat.

    Examples: `rehouse rollback acme --dry-run`, `rehouse rollback acme`, `rehouse rollback acme --drop-bucket`.
    """
    if (slug is None) is not everyone:
        raise typer.BadParameter("name one tenant, or --all")
    if slug and drop_bucket:
        return _drop(slug, dry_run=dry_run, keep_empty=keep_empty, yes=yes, output=output)
    if keep_empty:
        raise typer.BadParameter("--keep-empty needs one tenant and --drop-bucket")
    if drop_bucket:
        raise typer.BadParameter("--drop-bucket takes one tenant at a time")
    from rehouse.cli.services import services
    from rehouse.operations import rollback as returning

    with services(writes=not dry_run, max_rate=max_rate, slugs=[slug] if slug else [], progress=progress) as opened:
        if slug:
            made = [returning.roll_back_one(opened, opened.ledger.tenant(slug), dry_run=dry_run)]
        else:
            made = returning.roll_back_all(opened, opened.ledger.tenants(), dry_run=dry_run)
    end_rollback(made, output, interrupted=opened.stopping.is_set(), summary=opened.summary(), everyone=everyone)
    return None


def end_rollback(
    made: Sequence[ReturnReport],
    output: str,
    *,
    summary: str | None = None,
    interrupted: bool = False,
    everyone: bool = False,
) -> None:
    """Print the result of a rollback for each tenant and end the command."""
    from rehouse.cli.services import finish

    well = not any(each.errors for each in made)

    def show() -> None:
        show_rollback(made)
        if summary:
            say(summary)
        if not interrupted:
            _say_what_is_kept(made)
            say_next(_next_of(made, everyone=everyone))

    print_report(output, rollback_object(made), show, failures_of(made))
    finish(well=well, interrupted=interrupted)


def _say_what_is_kept(made: Sequence[ReturnReport]) -> None:
    from rehouse.cli.services import load_settings

    left = {each.slug: each.home_bucket for each in made if each.home_bucket and each.has_left}
    if note := note_after_rollback(left, load_settings().grace):
        say("")
        say_note(note)


def _next_of(made: Sequence[ReturnReport], *, everyone: bool) -> str | None:
    to_return, errors = sum(_to_return(each) for each in made), sum(each.errors for each in made)
    return after_rollback(
        [each.slug for each in made],
        everyone=everyone,
        dry_run=any(each.dry_run for each in made),
        to_return=to_return,
        errors=errors,
    )


def _to_return(report: ReturnReport) -> int:
    return report.old_pointers + report.copied + report.adopted


def _drop(slug: str, *, dry_run: bool, keep_empty: bool, yes: bool, output: str) -> None:
    from rehouse.cli.services import services
    from rehouse.operations.buckets import drop as dropping

    with services(writes=False) as opened:
        tenant = opened.ledger.tenant(slug)
        bucket = dropping.bucket_to_drop(opened, tenant)
        if not (dry_run or yes):
            goes = dropping.drop_bucket(opened, tenant, bucket, dry_run=True, keep_empty=keep_empty)
    warn_of_name(bucket, keep_empty=keep_empty)
    if not (dry_run or yes):
        confirm(_removal(goes), bucket, yes=False)
    with services(writes=not dry_run, slugs=[slug]) as opened:
        made = dropping.drop_bucket(opened, tenant, bucket, dry_run=dry_run, keep_empty=keep_empty)
    verb = "emptied" if made.kept_empty else "deleted"
    did = f"Would be {verb}" if dry_run else verb.capitalize()
    line = f"{did}: {made.bucket}, {count_noun(made.versions, 'version')}, {count_noun(made.uploads, 'open upload')}"

    def show() -> None:
        say(line)
        say_next(after_drop(slug, dry_run=dry_run, keep_empty=keep_empty))

    print_report(output, made, show)


def _removal(goes: DropReport) -> Removal:
    what = "every version of every object in the bucket" if goes.kept_empty else "the bucket"
    return Removal(
        what=f"This deletes {what} {goes.bucket}",
        final="None of this can be restored; the shared bucket keeps the objects that the tenant's rows point to.",
        headings=("tenant", "versions", "open uploads", "bytes", "bucket"),
        rows=[(goes.slug, goes.versions, goes.uploads, Bytes(goes.size), goes.bucket)],
    )


def show_rollback(reports: Sequence[ReturnReport]) -> None:
    """Print the result for each tenant, the documents that could not be returned, and the closing line."""
    dry_run = any(each.dry_run for each in reports)
    counts = ("to return",) if dry_run else ("returned", "this run")
    table(
        ("tenant", "state", "phase", *counts, "errors", "to old keys", "to copy" if dry_run else "copied", "bytes",
         "found copied", "late writes", "still at home", "stays", "bucket"),
        (
            (
                each.slug, each.state, each.phase,
                *((_to_return(each),) if dry_run else (each.documents_returned, each.this_run)),
                Attention(each.errors), each.old_pointers, each.copied, Bytes(each.bytes_copied), each.adopted,
                each.late_writes, each.still_at_home, each.stays, each.home_bucket,
            )
            for each in reports
        ),
        always=4 + len(counts),
        spare=("bucket", "bytes", "phase"),
    )  # fmt: skip
    for each in reports:
        if each.error:
            say("", name_tenant(each.slug, each.error), f"  hint: {each.hint}")
        if each.outstanding:
            say("", f"{each.slug}: could not be returned")
            show_left_at_home(each.slug, each.outstanding)
    say("", _closing_line(reports))


def rollback_object(reports: Sequence[ReturnReport]) -> dict[str, Any]:
    """Return what `rollback --output json` prints."""
    returned, this_run, errors = add_up(reports, "documents_returned", "this_run", "errors")
    tenants = [tenant_object(each) for each in reports]
    return {"documents_returned": returned, "this_run": this_run, "error_count": errors, "tenants": tenants}


def _closing_line(reports: Sequence[ReturnReport]) -> str:
    returned, this_run, errors = add_up(reports, "documents_returned", "this_run", "errors")
    if any(each.dry_run for each in reports):
        would = sum(_to_return(each) for each in reports)
        return f"Documents to return: {would:,}, Errors: {errors:,}. Nothing was changed."
    return f"Documents returned: {returned:,} (this run: {this_run:,}), Errors: {errors:,}"
