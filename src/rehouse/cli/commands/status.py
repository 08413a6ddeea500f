"""The command `status`: all tenants, one tenant with its history, or every error as text, JSON or CSV."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rehouse.cli.options import OptionalSlug
from rehouse.cli.output import SHOWN, Attention, print_report, say, say_next, shorten, table, to_json_types
from rehouse.cli.reports import codes_of, heading, name_tenant, show_left_at_home, show_outstanding, tenant_object
from rehouse.core.errors import BadUsage
from rehouse.core.lifecycle import Phase
from rehouse.core.next_steps import StatusResult, after_errors, after_status, after_tenant_status, before_next_run
from rehouse.core.tenant_state import TenantState, describe_rest, describe_states

if TYPE_CHECKING:
    from rehouse.ledger.overview import Overview
    from rehouse.operations.status import DocumentError, TenantStatus


REASON_SHOWN = 120
UNMOVED = frozenset({TenantState.NOT_STARTED, TenantState.ROLLED_BACK})
"""States in which no document is migrated: not yet, or no longer."""


CSV_COLUMNS = ("slug", "tenant_id", "document_id", "bucket", "key", "code", "request_id", "message", "hint")
FORMULA_SIGNS = "=+-@\t\r"
"""The first characters of cells that a spreadsheet reads as a formula (OWASP, CSV Injection)."""


ErrorsOption = Annotated[
    bool, typer.Option("--errors", help="List every document that could not be moved, with the reason and a hint.")
]


WatchOption = Annotated[
    bool, typer.Option("--watch", help="Show the commands at work, once a second; JSON lines off a terminal.")
]


StatusOutputOption = Annotated[
    Literal["text", "json", "csv"], typer.Option("--output", "-o", help="text, one JSON object, or CSV of the errors.")
]


def status(
    slug: OptionalSlug = None,
    *,
    errors: ErrorsOption = False,
    watch: WatchOption = False,
    output: StatusOutputOption = "text",
) -> None:
    """Show how far every tenant is, or one in detail. For one tenant: its outstanding documents and its history.

    Examples: `rehouse status`, `rehouse status acme`, `rehouse status acme --errors --output csv`,
    `rehouse status --watch`.
    """
    if watch:
        if errors or slug is not None or output == "csv":
            raise BadUsage("--watch shows all commands at work", hint="leave out SLUG, --errors and --output csv")
        from rehouse.cli.watch import watch as watch_commands

        return watch_commands(output)
    from rehouse.cli.services import ledger
    from rehouse.operations import status as standing

    if output == "csv" and not errors:
        raise BadUsage("--output csv needs --errors", hint="add --errors, or use --output json")
    with ledger() as opened:
        if errors:
            found = standing.errors(opened, opened.tenants() if slug is None else [opened.tenant(slug)])
            returning = {each.slug for each in standing.overview(opened) if each.phase == Phase.ROLLED_BACK}
            print_report(
                output, {"outstanding": found}, lambda: show_errors(found, as_csv=output == "csv", returning=returning)
            )
        elif slug is None:
            lines = standing.overview(opened)
            print_report(output, {"tenants": [tenant_object(line) for line in lines]}, lambda: _show_all(lines))
        else:
            one = standing.tenant_status(opened, opened.tenant(slug))
            print_report(
                output, to_json_types(one) | {"overview": tenant_object(one.overview)}, lambda: show_status(one)
            )
    return None


def show_overview(lines: Sequence[Overview]) -> None:
    """Print the overview: a line for each tenant, and why documents were not migrated."""
    table(
        ("tenant", "name", "state", "phase", "migrated", "total", "errors", "skipped", "accepted", "waiting", "completed",
         "bucket"),
        (
            (
                line.slug if line.is_active else f"{line.slug} (inactive)", line.name, line.state, line.phase,
                line.documents_migrated, line.documents_total, Attention(line.errors), line.documents_skipped,
                line.documents_accepted, line.documents_waiting, line.completed_at, line.home_bucket,
            )
            for line in lines
        ),
        always=7 if any(line.phase for line in lines) else 3,
        spare=("bucket", "completed", "name", "phase"),
    )  # fmt: skip
    tallies = [line.tally for line in lines if line.tally and line.state not in UNMOVED]
    if tallies:
        say("", f"{describe_rest(tallies)}.")
    if len(lines) > 1:
        say(*([] if tallies else [""]), f"{describe_states(line.state for line in lines)}.")
    messages = [name_tenant(line.slug, line.error_message) for line in lines if line.error_message]
    if messages:
        say("", *messages)


def _show_all(lines: Sequence[Overview]) -> None:
    show_overview(lines)
    say_next(after_status([_result_of(line) for line in lines]))


def _result_of(line: Overview) -> StatusResult:
    phase = Phase(line.phase) if line.phase else None
    return StatusResult(line.slug, line.state, phase, line.is_active, line.errors)


def show_status(status: TenantStatus) -> None:
    """Print one tenant: its line, its outstanding documents, its history."""
    show_overview([status.overview])
    if status.outstanding and status.overview.phase == Phase.ROLLED_BACK:
        say("", "could not be returned:")
        show_left_at_home(status.overview.slug, status.outstanding)
    elif status.outstanding:
        say("", f"{heading(status.outstanding)}:")
        show_outstanding(status.overview.slug, status.outstanding)
    if status.history:
        say("")
        table(
            ("when (UTC)", "who", "event", "from", "to", "reason"),
            (
                (each.at, each.actor, each.event, each.from_phase, each.to_phase, _shorten_reason(each.reason))
                for each in status.history
            ),
        )
    codes = codes_of(status.outstanding)
    following = after_tenant_status(_result_of(status.overview), codes, shown=SHOWN)
    say_next(following, first=before_next_run(codes))


def show_errors(errors: Sequence[DocumentError], *, as_csv: bool, returning: Collection[str]) -> None:
    """Print every document that could not be moved: as CSV, or for people."""
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)  # else a lone \r ends a row
        writer.writerow(CSV_COLUMNS)
        for each in errors:
            place = each.source.bucket, each.source.key
            row = (
                each.slug,
                each.tenant_id,
                each.document_id,
                *place,
                each.why,
                each.request_id,
                each.message,
                each.hint,
            )
            writer.writerow(_escape_formula(cell) for cell in row)
        return
    for each in errors:
        say(
            f"{each.slug}  {each.document_id}  {each.why}  {each.source.bucket}/{each.source.key}: {each.message or ''}"
        )
        say(f"  hint: {each.hint}" + (f" (request {each.request_id})" if each.request_id else ""))
    say(f"Errors: {len(errors):,}")
    codes: dict[str, set[str]] = {}
    for each in errors:
        codes.setdefault(each.slug, set()).add(each.why)
    say_next(after_errors(codes, returning), first=before_next_run(each.why for each in errors))


def _shorten_reason(reason: str | None) -> str | None:
    """Shorten a reason for the table: an adopted row's reason is the whole row. JSON has the full reason."""
    return shorten(reason, REASON_SHOWN) if reason else reason


def _escape_formula(cell: str | int | None) -> str | int | None:
    """Prefix a cell that a spreadsheet would read as a formula. Users choose the keys."""
    return f"'{cell}" if isinstance(cell, str) and cell and cell[0] in FORMULA_SIGNS else cell
