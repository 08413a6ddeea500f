"""The reports of the operations, as text for people and as one object for programs."""

from __future__ import annotations

import csv
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rehouse.cli.output import plain, say, table
from rehouse.cli.progress import human_bytes
from rehouse.core.comparing import Finding, Proof
from rehouse.core.copies import Standing
from rehouse.core.durations import spelled
from rehouse.core.escaping import counted
from rehouse.core.lifecycle import Phase
from rehouse.core.pricing import REQUEST_METRICS
from rehouse.core.removals import SUSPENDED

if TYPE_CHECKING:
    from rehouse.ledger.documents import Outstanding
    from rehouse.ledger.ledger import Overview
    from rehouse.operations.doctor import Check
    from rehouse.operations.plan import Plan, Quarantined
    from rehouse.operations.report import TenantReport
    from rehouse.operations.status import DocumentError, TenantStatus
    from rehouse.operations.verify import VerifyReport

SHOWN = 20
"""How many lines of one kind are printed; --output json has them all."""

REASON_SHOWN = 120
FORMULA_SIGNS = "=+-@\t\r"
"""What a cell begins with that a spreadsheet takes for a formula (OWASP, CSV Injection)."""


def show_migration(reports: Sequence[TenantReport], *, ran: bool = True) -> None:
    """Print what became of each tenant, what could not be moved, and the closing line."""
    table(
        ("tenant", "status", "phase", "migrated", "this run", "errors", "bytes", "late", "no key", "waiting", "accepted",
         "bucket"),
        (
            (
                each.slug, each.status, each.phase, each.documents_migrated, each.this_run, each.errors,
                human_bytes(each.copied_bytes), each.late_writes, each.without_key, each.waiting, each.accepted, each.home_bucket,
            )
            for each in reports
        ),
        always=6,
    )  # fmt: skip
    for each in reports:
        if each.error:
            say("", of_tenant(each.slug, each.error), f"  hint: {each.hint}")
        if each.outstanding:
            say("", f"{each.slug}: could not be moved")
            _outstanding(each.slug, each.outstanding)
        if each.phase == Phase.VERIFIED and not each.error:
            say("", f"{each.slug}: its copies are proved, nothing is switched yet: rehouse cutover {each.slug}")
    for setting in sorted({setting for each in reports for setting in each.not_offered}):
        say(f"not offered by this endpoint: {setting}")
    for note in sorted({note for each in reports for note in each.notes}):
        say(f"note: {note}")
    if ran and reports and all(each.had_nothing_to_do for each in reports):
        is_all = not any(each.outstanding or each.waiting for each in reports)
        say("", "Nothing was left to move." if is_all else "Nothing more could be moved.")
    say("", closing_line(reports))


def of_tenant(slug: str, error: str) -> str:
    """Return an error with the tenant's slug before it, unless it begins with that.

    >>> of_tenant("acme", "acme is finished"), of_tenant("acme", "S3 kept failing"), of_tenant("a", "an object went")
    ('acme is finished', 'acme: S3 kept failing', 'a: an object went')
    """
    return error if error.startswith(f"{slug} ") else f"{slug}: {error}"


def closing_line(reports: Sequence[TenantReport]) -> str:
    """Return the closing line."""
    migrated, this_run, errors = _sums(reports)
    return f"Documents migrated: {migrated} (this run: {this_run}), Errors: {errors}"


def migration_object(reports: Sequence[TenantReport]) -> dict[str, Any]:
    """Return what `migrate --output json` prints."""
    migrated, this_run, errors = _sums(reports)
    tenants = [plain(each) | {"errors": each.errors} for each in reports]
    return {"documents_migrated": migrated, "this_run": this_run, "errors": errors, "tenants": tenants}


def show_plan(plan: Plan) -> None:
    """Print the plan: a line for each tenant, what would stay, the cost, and what the application must do."""
    table(
        ("tenant", "documents", "to copy", "bytes", "stays", "no key", "at home", "waiting", "accepted", "copied", "seconds",
         "bucket"),
        (
            (
                each.slug if each.is_active else f"{each.slug} (inactive)", each.documents, each.to_copy,
                human_bytes(each.to_copy_bytes), len(each.quarantined), each.standings[Standing.NO_KEY],
                each.standings[Standing.AT_HOME], each.standings[Standing.NOT_UPLOADED], each.standings[Standing.ACCEPTED],
                each.standings[Standing.COPIED] + each.standings[Standing.ADOPT], round(each.seconds), each.home_bucket,
            )
            for each in plan.tenants
        ),
        always=5,
    )  # fmt: skip
    for each in plan.tenants:
        if each.quarantined:
            say("", f"{each.slug}: would not be moved")
            _quarantined(each.quarantined)
    say("")
    if tiered := sum(each.tiered for each in plan.tenants):
        say(
            f"{counted(tiered, 'document')} in Intelligent-Tiering: one in an archive tier stays until it is restored; "
            "only the copy shows which"
        )
    for bucket, (count, size) in plan.shared.items():
        say(f"{bucket}: {counted(count, 'object')}, {human_bytes(size)}")
    for bucket, versioning in plan.shared_versioning.items():
        if versioning == "suspended":
            say(f"{bucket}: its versioning is {SUSPENDED}. Enable it before `rehouse finish`")
    for bucket, count in plan.left_out.items():
        say(
            f"{bucket}: {counted(count, 'object')} more: the database's encoding cannot hold the key, so no row points to it"
        )
    if plan.documents_without_tenant:
        say(f"{plan.documents_without_tenant:,} rows belong to no tenant: they stay where they are")
    if plan.documents_of_missing_tenants:
        named = counted(plan.missing_tenants, "tenant")
        say(
            f"{plan.documents_of_missing_tenants:,} rows name {named} that the tenants' table lacks: they stay where they are"
        )
    for bucket, key, size in plan.orphans:
        say(f"orphan: {bucket} {key!r} ({human_bytes(size)})")
    if plan.cost:
        say(
            f"Requests cost about ${plan.cost.requests_dollars}; until the sources are removed, the doubled storage costs "
            f"${plan.cost.doubled_storage_dollars} a month."
        )
    if plan.request_metrics_dollars is not None:
        say(
            f"Request metrics (request_metrics) cost up to ${plan.request_metrics_dollars} a month: {REQUEST_METRICS} custom "
            "metrics of CloudWatch for each tenant's bucket."
        )
    say(*(f"{sentence}." for sentence in plan.kept_versions))
    say(_settling(plan.versioning_settle_seconds))
    say("", "While tenants move, the application must:", *(f"  - {rule}" for rule in plan.application_rules))
    say("", "Nothing was changed.")


def _settling(seconds: int) -> str:
    if not seconds:
        return "Homes are switched as soon as their copies are verified (versioning_settle_seconds is 0)."
    length = spelled(timedelta(seconds=seconds))
    return (
        f"No home is switched sooner than {length} after the versioning of its bucket is enabled (versioning_settle_seconds), so a "
        f"run with new buckets takes {length} or longer; documents are copied meanwhile."
    )


def show_verification(reports: Sequence[VerifyReport]) -> None:
    """Print what was found of each tenant."""
    table(
        (
            "tenant", "ok", "mismatched", "missing", "not migrated", "not uploaded", "could not check",
            "other problems", "accepted", "no key", "extra", "drift", "bucket",
        ),
        (_verification_row(each) for each in reports),
        always=4,
    )  # fmt: skip
    for each in reports:
        shown = each.problems[:SHOWN]
        if each.error:
            say("", f"{each.slug}: could not be checked: {each.error}")
        if shown:
            say("", f"{each.slug}:")
        for problem in shown:
            say(f"  {problem.document_id}  {problem.finding}  {problem.bucket}/{problem.key}: {problem.detail}")
        _more(len(each.problems))
        for drift in each.drift:
            if drift.kind != "not_offered":
                say(f"  {each.bucket}: {drift.setting} {drift.kind}")
    proofs = sum((each.same for each in reports), Counter[Proof]())
    say(
        "",
        "Proved by: " + (", ".join(f"{proof} {count:,}" for proof, count in sorted(proofs.items())) or "nothing yet"),
    )
    _reading(reports)
    for lacking in sorted({lacking for each in reports for lacking in each.not_offered}):
        say(f"not offered by this endpoint: {lacking}")
    say("All is well." if all(each.is_well for each in reports) else "Not all is well.")


def verification_object(reports: Sequence[VerifyReport]) -> dict[str, Any]:
    """Return what `verify --output json` prints."""
    tenants = [plain(each) | {"is_well": each.is_well} for each in reports]
    return {"is_well": all(each.is_well for each in reports), "tenants": tenants}


def show_overview(lines: Sequence[Overview]) -> None:
    """Print the overview."""
    table(
        ("name", "slug", "status", "phase", "migrated", "of", "errors", "completed", "bucket"),
        (
            (
                line.name, line.slug if line.is_active else f"{line.slug} (inactive)", line.status, line.phase,
                line.documents_migrated, line.documents_total, line.documents_failed, line.completed_at, line.home_bucket,
            )
            for line in lines
        ),
        always=6,
    )  # fmt: skip
    messages = [of_tenant(line.slug, line.error_message) for line in lines if line.error_message]
    if messages:
        say("", *messages)


def show_status(status: TenantStatus) -> None:
    """Print one tenant: its line, what is outstanding, what happened."""
    show_overview([status.overview])
    if status.outstanding and status.overview.phase == Phase.ROLLED_BACK:
        say("", "could not be returned:")
        show_left_at_home(status.overview.slug, status.outstanding)
    elif status.outstanding:
        say("", "could not be moved:")
        _outstanding(status.overview.slug, status.outstanding)
    if status.history:
        say("")
        table(
            ("when (UTC)", "who", "event", "from", "to", "reason"),
            (
                (each.at, each.actor, each.event, each.from_phase, each.to_phase, _shortened(each.reason))
                for each in status.history
            ),
        )


def show_errors(errors: Sequence[DocumentError], *, as_csv: bool) -> None:
    """Print every document that could not be moved: as CSV, or for people."""
    if as_csv:
        from rehouse.operations.status import DocumentError

        names = [field.name for field in dataclasses.fields(DocumentError)]
        writer = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)  # else a lone \r ends a row
        writer.writerow(names)
        writer.writerows([_no_formula(getattr(each, name)) for name in names] for each in errors)
        return
    for each in errors:
        say(f"{each.slug}  {each.document_id}  {each.code}  {each.bucket}/{each.key}: {each.message or ''}")
        say(f"  hint: {each.hint}" + (f" (request {each.request_id})" if each.request_id else ""))
    say(f"Errors: {len(errors)}")


def show_left_at_home(slug: str, documents: Sequence[Outstanding]) -> None:
    """Print the documents that a rollback left at home, and the way out of each code."""
    from rehouse.operations.status import RETURN_AGAIN

    _listed(slug, documents, RETURN_AGAIN)


def show_checks(checks: Sequence[Check], summary: str) -> None:
    """Print the doctor's checks, each with its way out, and the summary."""
    for each in checks:
        say(f"{each.outcome:<16}{each.subject}: {each.detail}")
        if each.hint and each.outcome != "ok":
            say(f"{'':<16}  hint: {each.hint}")
    say("", summary)


def _sums(reports: Iterable[TenantReport]) -> tuple[int, int, int]:
    made = list(reports)
    return (
        sum(each.documents_migrated for each in made),
        sum(each.this_run for each in made),
        sum(each.errors for each in made),
    )


def _reading(reports: Sequence[VerifyReport]) -> None:
    """Print what was sent and read, and what it costs, where objects were read."""
    read, costs = sum(each.read_bytes for each in reports), [each.cost for each in reports if each.cost]
    requests = sum((each.requests for each in reports), Counter[str]())
    if not requests["GetObject"]:
        return
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(requests.items()))
    say(f"Requests: {requests.total():,} ({kinds}), about ${sum(cost.requests_dollars for cost in costs)}")
    egress = sum(cost.egress_dollars for cost in costs)
    say(f"Read: {human_bytes(read)}, free within the bucket's region, about ${egress} outside of it")


def _verification_row(report: VerifyReport) -> tuple[object, ...]:
    different, missing, unsure = (
        report.count(finding) for finding in (Finding.DIFFERENT, Finding.MISSING, Finding.COULD_NOT_CHECK)
    )
    others = len(report.problems) - different - missing - unsure
    drift = sum(1 for each in report.drift if each.kind != "not_offered")
    return (
        report.slug, report.same.total(), different, missing, report.not_yet_migrated, report.not_uploaded,
        unsure, others, report.accepted, report.without_key, len(report.extra), drift,
        report.bucket,
    )  # fmt: skip


def _shortened(reason: str | None) -> str | None:
    """Return as much of a reason as a table takes: that of an adopted row is the whole row. JSON has all of it."""
    return f"{reason[: REASON_SHOWN - 1]}…" if reason and len(reason) > REASON_SHOWN else reason


def _no_formula(cell: str | int | None) -> str | int | None:
    """Return a cell that no spreadsheet takes for a formula: keys are whatever somebody uploaded."""
    return f"'{cell}" if isinstance(cell, str) and cell and cell[0] in FORMULA_SIGNS else cell


def _outstanding(slug: str, documents: Sequence[Outstanding]) -> None:
    from rehouse.operations.status import AGAIN

    _listed(slug, documents, AGAIN)
    say(f"  to leave them where they are: rehouse accept {slug} DOCUMENT... --reason ...")


def _listed(slug: str, documents: Sequence[Outstanding], again: str) -> None:
    from rehouse.operations.status import hint_of

    for each in documents[:SHOWN]:
        say(
            f"  {each.document_id}  {each.code or each.state}  {each.source.bucket}/{each.source.key}: {each.message or ''}"
        )
    _more(len(documents))
    for code in sorted({each.code or each.state.value for each in documents}):
        say(f"  {code}: {hint_of(code, slug, again)}")


def _quarantined(documents: Sequence[Quarantined]) -> None:
    for each in documents[:SHOWN]:
        say(f"  {each.document_id}  {each.reason}  {each.bucket}/{each.key}: {each.detail}; {each.hint}")
    _more(len(documents))


def _more(count: int) -> None:
    if count > SHOWN:
        say(f"  … and {count - SHOWN:,} more (--output json lists them all)")
