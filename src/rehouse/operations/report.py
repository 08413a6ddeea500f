"""The results of a run: the report for the command, and the tenant's row in the ledger."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar

from rehouse.core.comparing import Proof
from rehouse.core.errors import ErrorCode, Failure, Interrupted, RehouseError, early_failure
from rehouse.core.lifecycle import DocumentState, Phase, Status, closing_status, is_at_least
from rehouse.core.model import Migration, Tenant, TenantId
from rehouse.core.tenant_state import TenantState, tenant_state
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.late_writes import LateWriteRecords
from rehouse.ledger.ledger import Closing
from rehouse.ledger.returns import Returns
from rehouse.operations.services import Services

log = logging.getLogger(__name__)

NOT_GUARDED = "copy conditions (copies are not guarded against what appears at the target meanwhile)"
GUARD_UNKNOWN = (
    "rehouse does not know whether a copy may overwrite an object that appears at the target meanwhile: no copy of this run was "
    "small enough to be sent twice; `rehouse doctor --probe` finds out"
)


@dataclass(frozen=True)
class RunReport:
    """The base class of all run reports. Each has its own fields, in the order of its JSON."""

    @property
    def failure(self) -> Failure | None:
        """The error that ended the run early, as an error about its tenant."""
        report: Any = self
        return early_failure(report.slug, report.error_code, report.error, report.hint)

    def add(self, **made: Any) -> Self:
        """Return the report with these counts, proofs or texts added."""
        return replace(self, **{name: getattr(self, name) + value for name, value in made.items()})

    def end_with(self, error: RehouseError) -> Self:
        """Return the report with the error that ended the run early."""
        interrupted = isinstance(error, Interrupted)
        ending: dict[str, Any] = {
            "error": error.message,
            "error_code": error.kind,
            "hint": error.hint,
            "interrupted": interrupted,
        }
        if not interrupted:
            ending["state"] = TenantState.FAILED
        return replace(self, **ending)


Ended = TypeVar("Ended", bound=RunReport)


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Ended]):
    """The end of a tenant's run: the report, and the error that ended it early, or None."""

    report: Ended
    failure: RehouseError | None = None

    def require_report(self) -> Ended:
        """Return the report. Raises the error that ended the run early, if there was one."""
        if self.failure:
            raise self.failure
        return self.report


@dataclass(frozen=True)
class TenantReport(RunReport):
    """What a run did for a tenant. Sizes are bytes.

    `this_run`: documents whose pointers this run flipped. `late_writes`: documents whose sources were written after they had
    moved, and that were copied again. `documents_skipped`: documents without a file. `not_uploaded`: documents whose uploads have
    not arrived.
    """

    slug: str
    tenant_id: TenantId
    phase: Phase | None = None
    status: Status = Status.PENDING
    state: TenantState = TenantState.NOT_STARTED
    home_bucket: str | None = None
    documents_migrated: int = 0
    documents_total: int = 0
    this_run: int = 0
    copied: int = 0
    bytes_copied: int = 0
    adopted: int = 0
    late_writes: int = 0
    documents_skipped: int = 0
    not_uploaded: int = 0
    accepted: int = 0
    proofs: Counter[Proof] = field(default_factory=Counter)
    not_offered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    outstanding: list[Outstanding] = field(default_factory=list)
    error: str | None = None
    error_code: ErrorCode | None = None
    hint: str | None = None
    interrupted: bool = False

    @property
    def errors(self) -> int:
        """How many documents could not be moved; at least 1 if the run itself failed (an interruption is not a failure)."""
        return max(len(self.outstanding), 1 if self.error and not self.interrupted else 0)

    @property
    def quarantined(self) -> int:
        """How many documents were not moved because they are in quarantine."""
        return count_quarantined(self.outstanding)

    @property
    def is_well_otherwise(self) -> bool:
        """Whether nothing is wrong except for documents in quarantine."""
        return len(self.outstanding) == self.quarantined and (self.error is None or self.interrupted)

    @property
    def had_nothing_to_do(self) -> bool:
        """Whether everything was done before the run."""
        is_cut_over = self.phase is not None and is_at_least(self.phase, Phase.CUT_OVER)
        return is_cut_over and not (self.error or self.this_run or self.copied or self.adopted or self.late_writes)


def count_quarantined(documents: Iterable[Outstanding]) -> int:
    """Return how many of these documents are in quarantine."""
    return sum(each.state is DocumentState.QUARANTINED for each in documents)


def close_after(
    services: Services,
    tenant: Tenant,
    report: Ended,
    error: RehouseError,
    close: Callable[[Services, Migration, Ended], Ended],
) -> Ended:
    """Write the error that ended a run into the tenant's row, with the function that closes such a run; return the report.

    If the database itself fails, the error gets a note about that.
    """
    report = report.end_with(error)
    try:
        with translate_errors():
            migration = services.ledger.migration(tenant)  # as the failed step left it
            return close(services, migration, report) if migration else report
    except RehouseError as second:
        error.add_note(f"and the tenant's row could not be written: {second}")
        return report


def close_run(services: Services, migration: Migration, report: TenantReport) -> TenantReport:
    """Write the tenant's progress into its row, and return the report with it."""
    documents = services.ledger.documents(migration)
    counts = documents.counts()
    is_cut_over = is_at_least(migration.phase, Phase.CUT_OVER)
    # After an interruption, copies wait for the flip, which is not an error.
    left = documents.list_outstanding(is_cut_over=is_cut_over and not report.interrupted)
    late = services.ledger.of(migration, LateWriteRecords).list_outstanding()
    migrated, bytes_copied = documents.count_migrated()
    report = replace(
        report,
        phase=migration.phase,
        outstanding=left + late,
        documents_skipped=counts.without_key,
        accepted=counts.accepted,
        not_uploaded=max(0, counts.outside - counts.accepted - len(left)) if is_cut_over else report.not_uploaded,
        documents_migrated=migrated,
        documents_total=counts.total,
    )
    status = closing_status(
        migration.phase, errors=report.errors, waiting=report.not_uploaded, interrupted=report.interrupted
    )
    run_failed = report.error is not None and not report.interrupted
    state = tenant_state(status, migration.phase, documents=len(report.outstanding), run_failed=run_failed)
    report = replace(report, status=status, state=state)
    _log(report)
    services.ledger.close_run(
        migration,
        Closing(
            status=status,
            error_message=report.error or _summarise(report.outstanding),
            migrated=migrated,
            total=counts.total,
            skipped=counts.without_key,
            failed=len(report.outstanding),
            accepted=report.accepted,
            waiting=report.not_uploaded,
            at_home=counts.at_home,
            bytes_copied=bytes_copied,
            run_failed=run_failed,
        ),
    )
    return report


def note_guard(services: Services, reports: Iterable[TenantReport]) -> list[TenantReport]:
    """Return the reports of a run, with a note on those with copies if these were not guarded, or if that is unknown.

    The copy of one tenant decides for all of them. Without a copy that could be repeated, copies do not count as guarded.
    """
    is_lacking = services.bulk.target_condition_offered is False
    is_honoured = False if is_lacking else services.guard.absent.is_honoured
    added: dict[str, tuple[str, ...]] = {}
    if is_honoured is False:
        added = {"not_offered": (NOT_GUARDED,)}
    elif is_honoured is None:
        added = {"notes": (GUARD_UNKNOWN,)}
    return [report.add(**added) if report.copied else report for report in reports]


def _log(report: TenantReport) -> None:
    log.info(
        "%s: %s, %s: documents migrated: %d (this run: %d), errors: %d",
        report.slug,
        report.state.words,
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


@dataclass(frozen=True)
class ReturnReport(RunReport):
    """What a rollback did for a tenant. Sizes are bytes; `this_run` counts documents whose pointers this run flipped back.

    `old_pointers` of them returned to their old key, `copied` and `adopted` to a new key; with `dry_run` these are what would
    happen. `late_writes`: documents that were written at the other end meanwhile, and copied too. `stays`: documents that were in
    the tenant's own bucket before the migration.
    """

    slug: str
    tenant_id: TenantId
    phase: Phase | None = None
    status: Status = Status.PENDING
    state: TenantState = TenantState.NOT_STARTED
    home_bucket: str | None = None
    previous_home: str | None = None
    dry_run: bool = False
    documents_returned: int = 0
    this_run: int = 0
    old_pointers: int = 0
    copied: int = 0
    bytes_copied: int = 0
    adopted: int = 0
    late_writes: int = 0
    still_at_home: int = 0
    stays: int = 0
    outstanding: list[Outstanding] = field(default_factory=list)
    error: str | None = None
    error_code: ErrorCode | None = None
    hint: str | None = None
    interrupted: bool = False

    @property
    def errors(self) -> int:
        """How many documents could not be returned, or were written at both ends; at least 1 if the run itself failed.

        After an interruption, documents that are still at home count only if the run found a fault with them.
        """
        if self.interrupted:
            return sum(each.state is not DocumentState.COPIED or each.code is not None for each in self.outstanding)
        gone_back = [
            each
            for each in self.outstanding
            if each.state is DocumentState.FLIPPED and each.source.bucket == self.home_bucket
        ]
        return max(self.still_at_home + len(gone_back), 1 if self.error else 0)

    @property
    def has_left(self) -> bool:
        """Whether all documents have left a bucket that the tenant no longer has. An adopted home remains the tenant's."""
        is_back = not self.dry_run and not self.interrupted and not self.errors
        return is_back and self.home_bucket not in {None, self.previous_home}


def is_home_adopted(tenant: Tenant, migration: Migration) -> bool:
    """Return whether the home was the application's own before the migration. After a switch the previous home decides."""
    if migration.phase is Phase.CUT_OVER:
        return migration.previous_home == migration.home_bucket
    return tenant.home == migration.home_bucket


def close_return_after(services: Services, tenant: Tenant, report: ReturnReport, error: RehouseError) -> ReturnReport:
    """Do what `close_after` does for a run that returns documents."""

    def close(services: Services, migration: Migration, report: ReturnReport) -> ReturnReport:
        is_adopted = is_home_adopted(services.ledger.reread(tenant), migration)
        return close_return(services, migration, report, is_adopted=is_adopted)

    return close_after(services, tenant, report, error, close)


def close_return(services: Services, migration: Migration, report: ReturnReport, *, is_adopted: bool) -> ReturnReport:
    """Write the progress of the tenant's return into its row, and return the report with it."""
    returns, documents = services.ledger.of(migration, Returns), services.ledger.documents(migration)
    back, counts = returns.counts(), documents.counts()
    stays = back.never_moved if is_adopted else 0
    report = replace(
        report,
        phase=migration.phase,
        previous_home=migration.previous_home,
        documents_returned=back.returned,
        outstanding=returns.list_outstanding(),
        stays=stays,
        still_at_home=back.at_home - stays if migration.phase is Phase.ROLLED_BACK else 0,
    )
    status = closing_status(migration.phase, errors=report.errors, waiting=0, interrupted=report.interrupted)
    run_failed = report.error is not None and not report.interrupted
    state = tenant_state(status, migration.phase, documents=report.errors, run_failed=run_failed)
    report = replace(report, status=status, state=state)
    log.info("%s: %s, returned: %d (this run: %d), errors: %d", report.slug, report.state.words, back.returned,
             report.this_run, report.errors)  # fmt: skip
    migrated, bytes_copied = documents.count_migrated()
    services.ledger.close_run(
        migration,
        Closing(
            status=status,
            error_message=report.error or _summarise_return(report),
            migrated=migrated,
            total=counts.total,
            skipped=counts.without_key,
            failed=report.errors,
            accepted=counts.accepted,
            waiting=0,
            at_home=counts.at_home,
            bytes_copied=bytes_copied,
            run_failed=run_failed,
        ),
    )
    return report


def _summarise_return(report: ReturnReport) -> str | None:
    codes = Counter(each.code or each.state.value for each in report.outstanding)
    told = [f"{count} × {code}" for code, count in sorted(codes.items())]
    unsaid = report.errors - codes.total()
    return ", ".join([*told, *([f"{unsaid} × still at home"] if unsaid > 0 else [])]) or None
