"""Migrate a tenant: plan, provision, copy, verify, cut over. A later run does only what is left.

The phases follow core.lifecycle. A document that cannot be moved is an error in the report, and the tenant's other documents are
cut over. From `cut_over` on, a run is a sweep: it copies, verifies and flips whatever is not at home.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from rehouse.core.lifecycle import Phase
from rehouse.core.model import Tenant
from rehouse.operations.report import TenantReport, note_guard
from rehouse.operations.services import Services
from rehouse.operations.steps.copies import copy
from rehouse.operations.steps.failure_codes import refuse_unknown_code
from rehouse.operations.steps.flips import flip, switch
from rehouse.operations.steps.proofs import verify_copies
from rehouse.operations.steps.provision import provision_home
from rehouse.operations.steps.run import Order, Run, run_inventory
from rehouse.operations.steps.settling import await_settled
from rehouse.operations.steps.stages import Stages
from rehouse.operations.steps.survey import list_shared_buckets, survey_documents
from rehouse.operations.steps.sweep import bring_late_writes_home, sweep
from rehouse.operations.steps.trials import try_switch
from rehouse.operations.steps.walk import plan_again, walk

EVERYTHING = Order()


def migrate(run: Run) -> Iterator[Run]:
    """Take a tenant as far as its order demands; yield the run after each step.

    A tenant that was cut over before goes through the same steps, except that its home is already switched.
    """
    yield (run := plan_again(run))
    if run.order.until is Phase.PLANNED:
        return
    yield (run := provision_home(run))
    if run.order.until is Phase.PROVISIONED:
        return
    yield (run := bring_late_writes_home(run))
    survey_documents(run)
    while not run.is_proven:
        yield (run := copy(run))
        if run.is_at_goal:
            return
        await_settled(run)
        yield (run := verify_copies(run))
    if run.is_at_goal:
        return
    yield (run := try_switch(run))
    if run.stays:
        return
    yield (run := switch(run))
    yield (run := flip(run))
    yield from sweep(run)


def migrate_one(services: Services, tenant: Tenant, order: Order = EVERYTHING) -> TenantReport:
    """Migrate one tenant, and delete its inventory at the end.

    Raises the error that ended the run, if there was one, and Refused for an unknown code.
    """
    refuse_unknown_code(services.ledger, order.code)
    with run_inventory(services):
        report = walk(services, tenant, order, migrate).require_report()
        return note_guard(services, [report])[0]


def migrate_all(
    services: Services,
    tenants: Sequence[Tenant],
    order: Order = EVERYTHING,
    *,
    parallel: int = 1,
    fail_fast: bool = False,
) -> list[TenantReport]:
    """Migrate every tenant, listing the shared buckets once. A failed tenant does not stop the others.

    Raises Refused for an unknown code.
    """
    refuse_unknown_code(services.ledger, order.code)
    with run_inventory(services):
        is_listed = bool(tenants) and not order.only_failed
        stages = Stages(services, order, partial(walk, steps=migrate, is_listed=is_listed), parallel, fail_fast)
        left = stages.provision(tenants)
        if is_listed:
            list_shared_buckets(services)
        stages.migrate(stages.copy(left))
        return note_guard(services, [stages.reports[each.id] for each in tenants if each.id in stages.reports])
