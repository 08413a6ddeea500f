"""The command `audit`, and how it prints its findings: by bucket and setting, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from rehouse.cli.options import OptionalSlug, OutputOption
from rehouse.cli.output import print_report, say, say_next, say_note, to_json_types
from rehouse.core.errors import BadUsage
from rehouse.core.next_steps import after_audit

if TYPE_CHECKING:
    from rehouse.operations.audit import AuditReport
    from rehouse.operations.buckets.findings import AuditFinding

FixOption = Annotated[bool, typer.Option("--fix", help="Put settings right, the locks first; never remove a bucket.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="With --fix: show what would be corrected, change nothing.")
]


def audit(
    slug: OptionalSlug = None, *, fix: FixOption = False, dry_run: DryRunOption = False, output: OutputOption = "text"
) -> None:
    """Compare every tenant's bucket with what it must be. Finds buckets without a tenant and tenants without a bucket.

    Examples: `rehouse audit`, `rehouse audit acme`, `rehouse audit --fix --dry-run`, `rehouse audit --fix`.
    """
    from rehouse.cli.services import finish, services
    from rehouse.operations import audit as auditing

    if dry_run and not fix:
        raise BadUsage(
            "--dry-run needs --fix", hint="leave out --dry-run: without --fix, `rehouse audit` changes nothing"
        )
    with services(writes=False) as opened:
        tenant = None if slug is None else opened.ledger.tenant(slug)
        report = auditing.audit(opened, tenant, fix=fix and not dry_run)
    made = to_json_types(report) | {"is_well": report.is_well}

    def show() -> None:
        show_audit(report, dry_run=dry_run)
        fixable = sum(each.can_be_fixed and not each.is_fixed for each in report.findings)
        say_next(after_audit(slug, fixable=fixable, fix=fix, dry_run=dry_run))

    print_report(output, made, show)
    finish(well=report.is_well)


def show_audit(report: AuditReport, *, dry_run: bool = False) -> None:
    """Print the findings, which of them were corrected, and the closing line."""
    for (tenant, bucket), findings in groupby(report.findings, key=lambda each: (each.tenant, each.bucket)):
        say(": ".join(name for name in (tenant, bucket) if name) or "all buckets")
        for each in findings:
            say(*_lines(each))
        say("")
    for setting in report.not_offered:
        say(f"not offered by this endpoint: {setting}")
    for note in report.notes:
        say_note(note)
    say(closing_line(report))
    if dry_run and report.findings:
        fixable = sum(each.can_be_fixed for each in report.findings)
        say(f"--fix would correct {fixable:,} of the findings. Nothing was changed.")


def closing_line(report: AuditReport) -> str:
    """Return the line that closes an audit's report."""
    fixed = sum(each.is_fixed for each in report.findings)
    looked_at = f"Tenants: {report.tenants_checked:,}, buckets: {report.buckets_checked:,}"
    counts = f"{looked_at}, findings: {len(report.findings):,}, fixed: {fixed:,}"
    return f"{counts}. {'No problems remain.' if report.is_well else 'Problems remain.'}"


def _lines(finding: AuditFinding) -> Iterator[str]:
    yield f"  {finding.message}{' (fixed)' if finding.is_fixed else ''}"
    yield from (f"    {line}" for line in finding.differences)
    if finding.why:
        yield f"    why it matters: {finding.why}"
    if not finding.is_fixed:
        yield f"    hint: {finding.hint}"
