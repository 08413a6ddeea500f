"""The commands `verify` and `verify-all`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rehouse.cli import output as printing
from rehouse.cli.options import (
    AllowQuarantinedOption,
    ExcludeOption,
    InactiveOption,
    OnlyOption,
    OutputOption,
    ProgressOption,
    SlugArgument,
)
from rehouse.cli.output import (
    SHOWN,
    Attention,
    Failures,
    add_up,
    print_report,
    say,
    say_more,
    say_next,
    table,
    to_json_types,
)
from rehouse.cli.progress import human_bytes
from rehouse.cli.reports import failures_of
from rehouse.core.comparing import Finding, Proof
from rehouse.core.escaping import count_noun
from rehouse.core.next_steps import VerifyResult, after_verify

if TYPE_CHECKING:
    from rehouse.operations.verify import VerifyReport


DeepOption = Annotated[
    bool, typer.Option("--deep", help="Read and compare bytes, headers, metadata and tags of both sides.")
]


def verify(
    slug: SlugArgument,
    *,
    deep: DeepOption = False,
    allow_quarantined: AllowQuarantinedOption = False,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Compare every document of a tenant with its object. Changes nothing; the exit status is 0 if there are no problems.

    Examples: `rehouse verify acme`, `rehouse verify acme --deep`.
    """
    from rehouse.cli.services import services
    from rehouse.operations import verify as verifying

    with services(writes=False, progress=progress) as opened:
        made = [verifying.verify(opened, opened.ledger.tenant(slug), deep=deep)]
    _end(made, output, deep=deep, allow_quarantined=allow_quarantined)


def verify_all(
    *,
    include_inactive: InactiveOption = False,
    only: OnlyOption = None,
    exclude: ExcludeOption = None,
    deep: DeepOption = False,
    allow_quarantined: AllowQuarantinedOption = False,
    progress: ProgressOption = None,
    output: OutputOption = "text",
) -> None:
    """Compare the documents of all active tenants with their objects. Changes nothing; the shared buckets are listed once.

    Examples: `rehouse verify-all`, `rehouse verify-all --deep --only acme`.
    """
    from rehouse.cli.services import services
    from rehouse.operations import verify as verifying
    from rehouse.operations.selection import choose_tenants

    with services(writes=False, progress=progress) as opened:
        tenants = choose_tenants(opened, include_inactive=include_inactive, only=only or (), exclude=exclude or ())
        made = verifying.verify_all(opened, tenants, deep=deep)
    _end(made, output, deep=deep, allow_quarantined=allow_quarantined)


def _result_of(report: VerifyReport) -> VerifyResult:
    drift = any(each.kind != "not_offered" for each in report.drift)
    return VerifyResult(
        report.slug,
        report.phase,
        quarantined=report.quarantined,
        not_yet_migrated=report.not_yet_migrated,
        has_problems=bool(report.error) or len(report.problems) > report.quarantined,
        has_drift=drift,
    )


def _end(made: Sequence[VerifyReport], output: str, *, deep: bool, allow_quarantined: bool) -> None:
    from rehouse.cli.services import finish_by

    def show() -> None:
        show_verification(made)
        say_next(after_verify([_result_of(each) for each in made], deep=deep))

    print_report(output, verification_object(made), show, failures_of(made))
    finish_by(made, allow_quarantined=allow_quarantined)


def show_verification(reports: Sequence[VerifyReport]) -> None:
    """Print the result for each tenant."""
    table(
        (
            "tenant", "verified", "mismatched", "missing", "not migrated", "not uploaded", "could not check",
            "other", "accepted", "skipped", "extra", "drift", "bucket",
        ),
        (_verification_row(each) for each in reports),
        always=4,
        spare=("bucket",),
    )  # fmt: skip
    for each in reports:
        problems = each.problems[:SHOWN]
        if each.error:
            say("", f"{each.slug}: could not be checked: {each.error}")
        if problems:
            say("", f"{each.slug}:")
        for problem in problems:
            say(f"  {problem.document_id}  {problem.finding}  {problem.bucket}/{problem.key}: {problem.message}")
        say_more(len(each.problems))
        for drift in each.drift:
            if drift.kind != "not_offered":
                say(f"  {each.home_bucket}: {drift.setting} {drift.kind}")
    say("", proof_line(reports))
    _show_reads(reports)
    for lacking in sorted({lacking for each in reports for lacking in each.not_offered}):
        say(f"not offered by this endpoint: {lacking}")
    say(closing_line(reports))


def proof_line(reports: Sequence[VerifyReport]) -> str:
    """Return how many of the documents that should be at home were verified, and by which proof."""
    proofs = sum((each.proofs for each in reports), Counter[Proof]())
    unproven = sum(len(each.problems) + each.not_yet_migrated + each.not_uploaded for each in reports)
    by = ", ".join(f"{proof} {count:,}" for proof, count in sorted(proofs.items()))
    total = count_noun(proofs.total() + unproven, "document")
    return f"Verified: {proofs.total():,} of {total}" + (f" (by {by})" if by else "")


def closing_line(reports: Sequence[VerifyReport]) -> str:
    """Return the line that closes a verification."""
    if not all(each.is_well_otherwise for each in reports):
        problems = sum(len(each.problems) + _drift(each) + (each.error is not None) for each in reports)
        found = [f"{count_noun(problems, 'problem')} found"] if problems else []
        for count, what in zip(
            add_up(reports, "not_yet_migrated", "not_uploaded"), ("migrated", "uploaded"), strict=True
        ):
            found += [f"{count_noun(count, 'document')} not {what} yet"] if count else []
        return f"{', '.join(found)}."
    quarantined = sum(each.quarantined for each in reports)
    return (
        f"No problems found except {count_noun(quarantined, 'document')} in quarantine."
        if quarantined
        else "No problems found."
    )


def _show_reads(reports: Sequence[VerifyReport]) -> None:
    """Print the requests, the bytes read and their cost, if objects were read."""
    read, costs = sum(each.bytes_read for each in reports), [each.cost for each in reports if each.cost]
    requests = sum((each.requests for each in reports), Counter[str]())
    if not requests["GetObject"]:
        return
    say(f"Requests: {requests.total():,}, about ${sum(cost.requests_dollars for cost in costs)}")
    if printing.style.verbose:
        say(*(f"  {kind}: {count:,}" for kind, count in sorted(requests.items())))
    egress = sum(cost.egress_dollars for cost in costs)
    say(f"Read: {human_bytes(read)}, free within the bucket's region, about ${egress} outside of it")


def _drift(report: VerifyReport) -> int:
    return sum(each.kind != "not_offered" for each in report.drift)


def _verification_row(report: VerifyReport) -> tuple[object, ...]:
    different, missing, unsure = (
        report.count(finding) for finding in (Finding.DIFFERENT, Finding.MISSING, Finding.COULD_NOT_CHECK)
    )
    others = len(report.problems) - different - missing - unsure
    drift = _drift(report)
    return (
        report.slug, report.proofs.total(), Failures(different), Failures(missing), report.not_yet_migrated,
        report.not_uploaded, Attention(unsure), Attention(others), report.accepted, report.documents_skipped,
        len(report.extra), Attention(drift), report.home_bucket,
    )  # fmt: skip


def verification_object(reports: Sequence[VerifyReport]) -> dict[str, Any]:
    """Return what `verify --output json` prints."""
    tenants = [to_json_types(each) | {"is_well": each.is_well} for each in reports]
    return {"is_well": all(each.is_well for each in reports), "tenants": tenants}
