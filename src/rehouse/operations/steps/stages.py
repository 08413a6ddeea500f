"""The stages of `migrate-all` if new homes need time to settle: provision all tenants, copy all, then complete each.

Documents are copied during this time, and it passes once for all tenants instead of once for each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from rehouse.core.errors import RehouseError
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Tenant, TenantId
from rehouse.ledger.faults import translate_errors
from rehouse.operations.report import Outcome, TenantReport
from rehouse.operations.selection import for_each
from rehouse.operations.services import Services
from rehouse.operations.steps.run import Order
from rehouse.operations.steps.settling import seconds_left, settle_seconds

log = logging.getLogger(__name__)


class MigrateOne(Protocol):
    """Migrates one tenant, continuing the report of the stage before."""

    def __call__(
        self, services: Services, tenant: Tenant, order: Order, *, report: TenantReport | None
    ) -> Outcome[TenantReport]: ...


@dataclass
class Stages:
    """One run of `migrate-all`. It passes a tenant's report from stage to stage; a tenant stops at its first error."""

    services: Services
    order: Order
    migrate_one: MigrateOne
    parallel: int
    fail_fast: bool
    reports: dict[TenantId, TenantReport] = field(default_factory=dict)

    def provision(self, tenants: Sequence[Tenant]) -> list[Tenant]:
        """Provision the tenants that lack a home, if homes must settle; return the tenants that continue."""
        if not self._must_settle:
            return list(tenants)
        lacking = [tenant for tenant in tenants if self._lacks_home(tenant)]
        ready = self._run(lacking, lambda mine, tenant: Phase.PROVISIONED)
        return [tenant for tenant in tenants if tenant in ready or tenant not in lacking]

    def copy(self, tenants: Sequence[Tenant]) -> list[Tenant]:
        """Migrate the tenants whose homes have settled, and copy the others; return the others."""
        if not self._must_settle:
            return list(tenants)
        return self._run(tenants, lambda mine, tenant: Phase.COPIED if _is_settling(mine, tenant) else None)

    def migrate(self, tenants: Sequence[Tenant]) -> None:
        """Migrate the tenants according to the order."""
        self._run(tenants, lambda mine, tenant: None)

    def _run(self, tenants: Sequence[Tenant], until: Callable[[Services, Tenant], Phase | None]) -> list[Tenant]:
        """Migrate the tenants up to `until`; return those that reached it and have more to do."""
        unfinished: set[TenantId] = set()

        def work(mine: Services, tenant: Tenant) -> TenantReport:
            phase = until(mine, tenant)
            report = self._migrate(mine, tenant, replace(self.order, until=phase) if phase else self.order)
            self.reports[tenant.id] = report
            if phase and not report.error:
                unfinished.add(tenant.id)
            return report

        if not any(map(self._is_enough, self.reports.values())):
            turns = for_each(
                self.services,
                tenants,
                work,
                parallel=self.parallel,
                enough=self._is_enough,
                is_last_turn=lambda tenant: tenant.id not in unfinished,
            )
            list(turns)
        return [tenant for tenant in tenants if tenant.id in unfinished]

    def _migrate(self, services: Services, tenant: Tenant, order: Order) -> TenantReport:
        so_far = self.reports.get(tenant.id)
        try:
            return self.migrate_one(services, tenant, order, report=so_far).report
        except RehouseError as error:
            return (so_far or _report_as_recorded(services, tenant)).end_with(error)

    def _is_enough(self, report: TenantReport) -> bool:
        return self.fail_fast and report.errors > 0

    @property
    def _must_settle(self) -> bool:
        wants_all = self.order.until is Phase.CUT_OVER and not self.order.only_failed
        return wants_all and settle_seconds(self.services) > 0

    def _lacks_home(self, tenant: Tenant) -> bool:
        migration = self.services.ledger.migration(tenant)
        return migration is None or migration.phase in {Phase.PLANNED, Phase.ROLLED_BACK}


def _is_settling(services: Services, tenant: Tenant) -> bool:
    migration = services.ledger.migration(tenant)
    return migration is not None and seconds_left(services, migration) > 0


def _report_as_recorded(services: Services, tenant: Tenant) -> TenantReport:
    """Return a report from the tenant's record in the ledger, if the ledger can be read."""
    report = TenantReport(tenant.slug, tenant.id)
    try:
        with translate_errors():
            found = services.ledger.migration(tenant)
    except RehouseError as error:
        log.warning("%s: its row could not be read: %s", tenant.slug, error.message)
        return report
    if found is None:
        return report
    return replace(report, phase=found.phase, status=found.status, state=found.state, home_bucket=found.home_bucket)
