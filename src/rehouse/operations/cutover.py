"""Cut over a verified tenant: switch its home and flip its pointers, with a canary a few documents first.

Documents that changed since the verification are copied and verified again before.
"""

from __future__ import annotations

from collections.abc import Iterator

from rehouse.core.errors import Refused
from rehouse.core.lifecycle import Phase, is_at_least, was_verified
from rehouse.core.model import Migration, Tenant
from rehouse.operations.report import TenantReport, note_guard
from rehouse.operations.services import Services
from rehouse.operations.steps.canary import read_canary_copies, read_canary_rows
from rehouse.operations.steps.copies import copy
from rehouse.operations.steps.flips import flip, flip_canary, switch
from rehouse.operations.steps.proofs import verify_copies
from rehouse.operations.steps.provision import provision_home
from rehouse.operations.steps.run import Order, Run, run_inventory
from rehouse.operations.steps.settling import await_settled
from rehouse.operations.steps.survey import survey_documents
from rehouse.operations.steps.sweep import bring_late_writes_home, sweep
from rehouse.operations.steps.trials import try_switch
from rehouse.operations.steps.walk import plan_again, walk


def cutover(services: Services, tenant: Tenant, *, canary: int = 0) -> TenantReport:
    """Cut the tenant over. The first `canary` documents are read as the application reads them before the others are flipped.

    Raises Refused, before anything changes, if the tenant was not verified or a canary cannot be read in the home. Raises Halt if
    a canary cannot be read through its row. Raises other errors as `migrate` does.
    """
    before = services.ledger.migration(tenant)
    if before is None or not _was_verified(services, tenant, before):
        stands = f"is {before.phase}" if before else "was not begun"
        raise Refused(
            f"{tenant.slug} {stands}: only a tenant that was verified can be cut over",
            hint=f"run `rehouse migrate {tenant.slug} --until verified` first",
            subject=tenant.slug,
        )
    with run_inventory(services):
        report = walk(services, tenant, Order(canary=canary), cut_over).require_report()
        return note_guard(services, [report])[0]


def cut_over(run: Run) -> Iterator[Run]:
    """Take a tenant through the steps of a migration with its canary; yield the run after each step."""
    yield (run := plan_again(run))
    yield (run := provision_home(run))
    yield (run := bring_late_writes_home(run))
    survey_documents(run)
    while not run.is_proven:
        yield (run := copy(run))
        await_settled(run)
        yield (run := verify_copies(run))
    yield (run := try_switch(run))
    if run.stays:
        return
    yield (run := read_canary_copies(run))
    yield (run := switch(run))
    yield (run := flip_canary(run))
    yield (run := read_canary_rows(run))
    yield (run := flip(run))
    yield from sweep(run)


def _was_verified(services: Services, tenant: Tenant, before: Migration) -> bool:
    """Return whether the tenant is verified, or was until a cutover that did not end began to copy later changes."""
    if is_at_least(before.phase, Phase.VERIFIED):
        return True
    return was_verified([each.to_phase for each in services.ledger.history(tenant)])
