"""What a run leaves behind: the report for whoever started it, and the tenant's row in the ledger for everybody else."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from rehouse.core.comparing import Proof
from rehouse.core.errors import Interrupted, RehouseError
from rehouse.core.lifecycle import DocumentState, Phase, Status, closing_status, is_at_least
from rehouse.core.model import Migration, Tenant, TenantId
from rehouse.ledger.documents import Outstanding
from rehouse.ledger.late_writes import LateLines
from rehouse.ledger.ledger import Closing, translating
from rehouse.ledger.returns import Returns
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

NOT_GUARDED = "copy conditions (copies are not guarded against what appears at the target meanwhile)"
GUARD_UNKNOWN = (
    "whether copies are guarded against what appears at the target meanwhile is not known here: no copy of this run was small "
    "enough to be tried twice; `rehouse doctor --probe` tries it"
)


@dataclass
class TenantReport:
    """What became of a tenant. Sizes are bytes; `this_run` counts documents whose pointers this run flipped, `late_writes`
    those whose sources were written after they had moved, and that were brought home.
    """

    slug: str
    tenant_id: TenantId
    phase: Phase | None = None
    status: Status = Status.PENDING
    home_bucket: str | None = None
    documents_migrated: int = 0
    this_run: int = 0
    copied: int = 0
    copied_bytes: int = 0
    adopted: int = 0
    late_writes: int = 0
    without_key: int = 0
    waiting: int = 0
    accepted: int = 0
    proofs: Counter[Proof] = field(default_factory=Counter)
    not_offered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    outstanding: list[Outstanding] = field(default_factory=list)
    error: str | None = None
    hint: str | None = None
    interrupted: bool = False

    @property
    def errors(self) -> int:
        """How many documents could not be moved; at least 1 if the run itself failed (an interruption is no failure)."""
        return max(len(self.outstanding), 1 if self.error and not self.interrupted else 0)

    def ended_by(self, error: RehouseError) -> None:
        """Say what ended the run before it was done."""
        self.error, self.hint, self.interrupted = error.message, error.hint, isinstance(error, Interrupted)

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether the run found everything done."""
        is_cut_over = self.phase is not None and is_at_least(self.phase, Phase.CUT_OVER)
        return is_cut_over and not (self.error or self.this_run or self.copied or self.adopted or self.late_writes)


def close_after(services: Services, tenant: Tenant, report: TenantReport, error: RehouseError) -> None:
    """Say in the tenant's row what went wrong; where the database itself is what fails, the error alone has to tell."""
    try:
        with translating():
            as_it_stands = services.ledger.migration(tenant)
            if as_it_stands:
                close_run(services, as_it_stands, report, error)
    except RehouseError as second:
        error.add_note(f"and the tenant's row could not be written: {second}")


def close_run(services: Services, migration: Migration, report: TenantReport, error: RehouseError | None) -> None:
    """Write where the tenant stands into its row, and into the report."""
    documents = services.ledger.documents(migration)
    counts = documents.counts()
    is_cut_over = is_at_least(migration.phase, Phase.CUT_OVER)
    if error:
        report.ended_by(error)
    # After an interruption copies wait for the flip, and nothing is wrong with them.
    left = documents.outstanding(is_cut_over=is_cut_over and not report.interrupted)
    report.outstanding = left + services.ledger.of(migration, LateLines).outstanding()
    report.without_key, report.accepted = counts.without_key, counts.accepted
    if is_cut_over:
        report.waiting = max(0, counts.outside - counts.accepted - len(left))
    report.documents_migrated, copied_bytes = documents.migrated()
    report.phase = migration.phase
    report.status = closing_status(
        migration.phase, errors=report.errors, waiting=report.waiting, interrupted=report.interrupted
    )
    _log(report)
    services.ledger.close_run(
        migration,
        Closing(
            status=report.status,
            error_message=report.error or _summarise(report.outstanding),
            migrated=report.documents_migrated,
            total=counts.total,
            skipped=counts.without_key,
            failed=len(report.outstanding),
            bytes_copied=copied_bytes,
        ),
    )


def tell_of_guard(services: Services, reports: Iterable[TenantReport]) -> None:
    """Say at a run's end, in the reports with copies, if these were not guarded, or if that is not known.

    One tenant's copy tells for all; no copy that could be repeated is never taken for a guard.
    """
    is_lacking = services.bulk.target_condition_offered is False
    is_honoured = False if is_lacking else services.guard.is_honoured
    for report in reports:
        if report.copied and is_honoured is False:
            report.not_offered = (*report.not_offered, NOT_GUARDED)
        elif report.copied and is_honoured is None:
            report.notes = (*report.notes, GUARD_UNKNOWN)


def _log(report: TenantReport) -> None:
    log.info(
        "%s: %s, %s: documents migrated: %d (this run: %d), errors: %d",
        report.slug,
        report.status,
        report.phase,
        report.documents_migrated,
        report.this_run,
        report.errors,
    )
    for each in report.outstanding:
        log.warning(
            "%s: document %s, source in %s: %s: %s (request %s)",
            report.slug,
            each.document_id,
            each.source.bucket,
            each.code or each.state,
            each.message,
            each.request_id,
        )
    if report.error:
        log.error("%s: %s", report.slug, report.error)


def _summarise(outstanding: list[Outstanding]) -> str | None:
    codes = Counter(each.code or each.state.value for each in outstanding)
    return ", ".join(f"{count} × {code}" for code, count in sorted(codes.items())) or None


@dataclass
class ReturnReport:
    """What became of a tenant. Sizes are bytes; `this_run` counts documents whose pointers this run sent back.

    `old_pointers` of them went back to where they came from, `copied` and `adopted` to a key of their own; with `dry_run`
    these say what would happen. `late_writes`: written at the other end meanwhile, and taken along. `stays`: documents that
    were in the tenant's own bucket before the migration.
    """

    slug: str
    tenant_id: TenantId
    phase: Phase | None = None
    status: Status = Status.PENDING
    home_bucket: str | None = None
    previous_home: str | None = None
    dry_run: bool = False
    documents_returned: int = 0
    this_run: int = 0
    old_pointers: int = 0
    copied: int = 0
    copied_bytes: int = 0
    adopted: int = 0
    late_writes: int = 0
    still_at_home: int = 0
    stays: int = 0
    outstanding: list[Outstanding] = field(default_factory=list)
    error: str | None = None
    hint: str | None = None
    interrupted: bool = False

    @property
    def errors(self) -> int:
        """How many documents could not be returned, or were written at both ends; at least 1 if the run itself failed.

        After an interruption what is still at home counts only if the run found a fault with it.
        """
        if self.interrupted:
            return sum(each.state is not DocumentState.COPIED or each.code is not None for each in self.outstanding)
        gone_back = [
            each
            for each in self.outstanding
            if each.state is DocumentState.FLIPPED and each.source.bucket == self.home_bucket
        ]
        return max(self.still_at_home + len(gone_back), 1 if self.error else 0)

    def ended_by(self, error: RehouseError) -> None:
        """Say what ended the run before it was done."""
        self.error, self.hint, self.interrupted = error.message, error.hint, isinstance(error, Interrupted)


def is_home_adopted(tenant: Tenant, migration: Migration) -> bool:
    """Return whether the home was the application's own. A home that was switched tells by what it was before."""
    if migration.phase is Phase.CUT_OVER:
        return migration.previous_home == migration.home_bucket
    return tenant.home == migration.home_bucket


def close_return_after(services: Services, tenant: Tenant, report: ReturnReport, error: RehouseError) -> None:
    """Say in the tenant's row what went wrong; where the database itself is what fails, the error alone has to tell."""
    try:
        with translating():
            as_it_stands = services.ledger.migration(tenant)
            if as_it_stands:
                is_adopted = is_home_adopted(services.ledger.reread(tenant), as_it_stands)
                close_return(services, as_it_stands, report, error, is_adopted=is_adopted)
    except RehouseError as second:
        error.add_note(f"and the tenant's row could not be written: {second}")


def close_return(
    services: Services, migration: Migration, report: ReturnReport, error: RehouseError | None, *, is_adopted: bool
) -> None:
    """Write where the tenant stands into its row, and into the report."""
    returns, documents = services.ledger.of(migration, Returns), services.ledger.documents(migration)
    back, counts = returns.counts(), documents.counts()
    report.phase, report.previous_home = migration.phase, migration.previous_home
    report.documents_returned, report.outstanding = back.returned, returns.outstanding()
    report.stays = back.never_moved if is_adopted else 0
    report.still_at_home = back.at_home - report.stays if migration.phase is Phase.ROLLED_BACK else 0
    if error:
        report.ended_by(error)
    report.status = closing_status(migration.phase, errors=report.errors, waiting=0, interrupted=report.interrupted)
    log.info("%s: %s, returned: %d (this run: %d), errors: %d", report.slug, report.status, back.returned,
             report.this_run, report.errors)  # fmt: skip
    migrated, copied_bytes = documents.migrated()
    services.ledger.close_run(
        migration,
        Closing(
            status=report.status,
            error_message=report.error or _summarise_return(report),
            migrated=migrated,
            total=counts.total,
            skipped=counts.without_key,
            failed=report.errors,
            bytes_copied=copied_bytes,
        ),
    )


def _summarise_return(report: ReturnReport) -> str | None:
    codes = Counter(each.code or each.state.value for each in report.outstanding)
    told = [f"{count} × {code}" for code, count in sorted(codes.items())]
    unsaid = report.errors - codes.total()
    return ", ".join([*told, *([f"{unsaid} × still at home"] if unsaid > 0 else [])]) or None
