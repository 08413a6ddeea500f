"""What a rollback leaves behind: the report for whoever started it, the tenant's row for everybody else."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

import psycopg

from rehouse.core.errors import Interrupted, RehouseError
from rehouse.core.lifecycle import DocumentState, Phase, Status, closing_status
from rehouse.core.model import Migration, Tenant, TenantId
from rehouse.ledger.documents import Outstanding
from rehouse.ledger.ledger import Closing
from rehouse.ledger.returns import Returns
from rehouse.operations.services import Services

log = logging.getLogger(__name__)


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
        as_it_stands = services.ledger.migration(tenant)
        if as_it_stands:
            is_adopted = is_home_adopted(services.ledger.reread(tenant), as_it_stands)
            close_return(services, as_it_stands, report, error, is_adopted=is_adopted)
    except (RehouseError, psycopg.Error) as second:
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
            error_message=report.error or _summary(report),
            migrated=migrated,
            total=counts.total,
            skipped=counts.without_key,
            failed=report.errors,
            bytes_copied=copied_bytes,
        ),
    )


def _summary(report: ReturnReport) -> str | None:
    codes = Counter(each.code or each.state.value for each in report.outstanding)
    told = [f"{count} × {code}" for code, count in sorted(codes.items())]
    unsaid = report.errors - codes.total()
    return ", ".join([*told, *([f"{unsaid} × still at home"] if unsaid > 0 else [])]) or None
