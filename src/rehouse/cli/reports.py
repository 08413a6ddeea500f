"""Reports that several commands print: migrations, documents that were not moved, columns that hold keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rehouse.cli.output import (
    SHOWN,
    Attention,
    add_up,
    print_report,
    say,
    say_more,
    say_next,
    say_note,
    table,
    to_json_types,
)
from rehouse.cli.progress import Bytes
from rehouse.core.escaping import count_noun
from rehouse.core.late_writes import CONFLICT
from rehouse.core.lifecycle import STATES, Phase
from rehouse.core.next_steps import after_migration, before_next_run

if TYPE_CHECKING:
    from rehouse.core.errors import Failure
    from rehouse.ledger.copies import Outstanding
    from rehouse.ledger.overview import Overview
    from rehouse.ledger.pointers import Unchecked
    from rehouse.operations.checks.pointers import Mention
    from rehouse.operations.finish import FinishReport
    from rehouse.operations.report import ReturnReport, RunReport, TenantReport
    from rehouse.operations.verify import VerifyReport


def show_migration(reports: Sequence[TenantReport], *, ran: bool = True) -> None:
    """Print each tenant's result, the documents that could not be moved, and the closing line."""
    table(
        ("tenant", "state", "phase", "migrated", "total", "this run", "errors", "bytes", "skipped", "accepted", "waiting",
         "late", "bucket"),
        (
            (
                each.slug, each.state, each.phase, each.documents_migrated, each.documents_total, each.this_run,
                Attention(each.errors), Bytes(each.bytes_copied), each.documents_skipped, each.accepted, each.not_uploaded,
                each.late_writes, each.home_bucket,
            )
            for each in reports
        ),
        always=7,
        spare=("bucket", "bytes", "phase", "total"),
    )  # fmt: skip
    for each in reports:
        if each.error:
            say("", name_tenant(each.slug, each.error), f"  hint: {each.hint}")
        if each.outstanding:
            say("", f"{each.slug}: {heading(each.outstanding)}")
            show_outstanding(each.slug, each.outstanding)
        if each.phase == Phase.VERIFIED and not each.error:
            say("", f"{each.slug}: its copies are verified; nothing is switched yet")
    for setting in sorted({setting for each in reports for setting in each.not_offered}):
        say(f"not offered by this endpoint: {setting}")
    for note in sorted({note for each in reports for note in each.notes}):
        say_note(note)
    if ran and reports and all(each.had_nothing_to_do for each in reports):
        is_all = not any(each.outstanding or each.not_uploaded for each in reports)
        say("", "Nothing was left to move." if is_all else "Nothing more could be moved.")
    say("", closing_line(reports))


def name_tenant(slug: str, error: str) -> str:
    """Return an error with the tenant's slug before it, unless it begins with that.

    >>> name_tenant("acme", "acme is finished"), name_tenant("acme", "S3 kept failing"), name_tenant("a", "an object went")
    ('acme is finished', 'acme: S3 kept failing', 'a: an object went')
    """
    return error if error.startswith(f"{slug} ") else f"{slug}: {error}"


def closing_line(reports: Sequence[TenantReport]) -> str:
    """Return the line that closes a migration's report."""
    migrated, this_run, errors = add_up(reports, "documents_migrated", "this_run", "errors")
    return f"Documents migrated: {migrated:,} (this run: {this_run:,}), Errors: {errors:,}"


def tenant_object(report: TenantReport | ReturnReport | FinishReport | Overview) -> dict[str, Any]:
    """Return what a command prints of a tenant as JSON: its state and errors with the report."""
    found: dict[str, Any] = to_json_types(report)
    return found | {"state": report.state.value, "error_count": report.errors}


def migration_object(reports: Sequence[TenantReport]) -> dict[str, Any]:
    """Return what `migrate --output json` prints."""
    migrated, this_run, errors = add_up(reports, "documents_migrated", "this_run", "errors")
    tenants = [tenant_object(each) for each in reports]
    return {"documents_migrated": migrated, "this_run": this_run, "error_count": errors, "tenants": tenants}


def _show_next(reports: Sequence[TenantReport], until: Phase | None) -> None:
    if not any(each.error for each in reports):
        phases = {each.slug: each.phase for each in reports}
        outstanding = {each.slug: codes_of(each.outstanding) for each in reports}
        codes = [code for found in outstanding.values() for code in found]
        following = after_migration(phases, outstanding, shown=SHOWN, until=until)
        say_next(following, first=before_next_run(codes))


def end_migration(
    made: list[TenantReport],
    output: str,
    *,
    summary: str | None = None,
    ran: bool = True,
    until: Phase | None = Phase.CUT_OVER,
    interrupted: bool = False,
    allow_quarantined: bool = False,
) -> None:
    """Print each tenant's result and end the command.

    `ran`: this command could move documents. `until`: the phase at which it was to stop, None if it moves no tenant on.
    """
    from rehouse.cli.services import finish_by

    def show() -> None:
        show_migration(made, ran=ran)
        if summary:
            say(summary)
        _show_next(() if interrupted else made, until)

    print_report(output, migration_object(made), show, failures_of(made))
    finish_by(made, allow_quarantined=allow_quarantined, interrupted=interrupted)


def failures_of(reports: Iterable[RunReport | VerifyReport]) -> list[Failure]:
    """Return what ended the work on tenants early, as errors about them."""
    return [each.failure for each in reports if each.failure]


def codes_of(documents: Iterable[Outstanding]) -> list[str]:
    """Return the code of each document, or its state where it has none."""
    return [each.code or each.state.value for each in documents]


def heading(documents: Sequence[Outstanding]) -> str:
    """Return the heading for these documents: they could not be moved, or they were moved and something else is wrong."""
    are_unmoved = {each.state in STATES["unmoved"] for each in documents}
    if are_unmoved == {True}:
        return "could not be moved"
    return "could not be moved, or need attention" if True in are_unmoved else "moved, and need attention"


def show_left_at_home(slug: str, documents: Sequence[Outstanding]) -> None:
    """Print the documents that a rollback left at home, with a hint for each code."""
    from rehouse.operations.status import RETURN_AGAIN

    _show_documents(slug, documents, RETURN_AGAIN)


def show_outstanding(slug: str, documents: Sequence[Outstanding]) -> None:
    """Print the documents that could not be moved, with a hint for each code."""
    from rehouse.operations.status import AGAIN

    _show_documents(slug, documents, AGAIN)
    if any(each.state in STATES["unmoved"] or each.code == CONFLICT for each in documents):
        say(f"  to leave them where they are: rehouse accept {slug} DOCUMENT... --reason ...")


def _show_documents(slug: str, documents: Sequence[Outstanding], again: str) -> None:
    from rehouse.operations.status import hint_of

    for each in documents[:SHOWN]:
        say(
            f"  {each.document_id}  {each.code or each.state}  {each.source.bucket}/{each.source.key}: {each.message or ''}"
        )
    say_more(len(documents))
    for code in sorted({*codes_of(documents)}):
        say(f"  {code}: {hint_of(code, slug, again)}")


def show_mentions(mentions: Sequence[Mention]) -> None:
    """Print the columns outside the mapping that hold keys, with how many rows do."""
    say(*(f"  {each.column}: {count_noun(each.rows, 'row')}" for each in mentions))


def show_unchecked(columns: Sequence[Unchecked]) -> None:
    """Print the columns that could not be searched for keys, with the reason."""
    say(*(f"  {each.column}: {each.message}" for each in columns[:SHOWN]))
    say_more(len(columns))
