"""The trial before the cutover: the home is not switched unless a row of each kind was flipped, in a transaction rolled back.

Kinds are the documents table, or each of its partitions. Generated columns, foreign keys on the key, rules, triggers that protect
rows, missing rights and types that do not fit are found here, while nothing has happened yet.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from rehouse.core.errors import Refused, TryAgain
from rehouse.core.model import Fault, Migration, Tenant
from rehouse.ledger.late_writes import RowIsBusy
from rehouse.ledger.trials import Trials
from rehouse.operations.services import Services

CANDIDATES = 100
"""Rows of a kind that are tried before it is taken for one that cannot be flipped."""
PASSES = 40
PAUSE_SECONDS = 0.25
"""Where others hold every row of a kind: about ten seconds in all, then it is for the next run."""


def try_cutover(services: Services, migration: Migration, tenant: Tenant) -> bool:
    """Try the switch of the home, and a flip of each kind of row; nothing of it stays. Return whether a row was flipped.

    If no copy has a row as it was copied, nothing can be tried: the copies are marked superseded. Raises Refused, with
    PostgreSQL's own reason, for a kind of which no row can be flipped; TryAgain where all are locked.
    """
    trials = services.ledger.of(migration, Trials)
    fault = services.ledger.patiently(partial(trials.switch, tenant.home))
    if fault:
        raise _refused(tenant, f"the tenant's row in {services.ledger.catalog.tenants.name}", fault)
    for _ in range(PASSES):
        kinds = trials.candidates(CANDIDATES)  # anew each time: rows move
        if not kinds:
            services.ledger.patiently(trials.supersede)
            return False
        problems = [_problem(services, trials, tenant, *kind) for kind in kinds.items()]
        busy = [each for each in problems if isinstance(each, TryAgain)]
        for each in problems:
            if isinstance(each, Refused):
                raise each
        if not busy:
            return True
        services.stop_here()
        time.sleep(PAUSE_SECONDS)
    raise busy[0]


def _problem(
    services: Services, trials: Trials, tenant: Tenant, kind: str, document_ids: Sequence[str]
) -> Refused | TryAgain | None:
    """Return why no row of a kind can be flipped; None as soon as one was."""
    refused: list[tuple[str, Fault]] = []
    for document_id in document_ids:
        try:
            fault = services.ledger.patiently(partial(trials.flip_in_vain, document_id))
        except RowIsBusy:
            continue
        if fault is None:
            return None
        refused.append((document_id, fault))
    if len(refused) < len(document_ids):
        return TryAgain(
            f"{tenant.slug}: nothing was switched: other transactions hold the rows in {kind} that a flip was to be tried with",
            hint="run the same command again, at a quieter time",
        )
    document_id, fault = refused[0]
    return _refused(tenant, f"no row in {kind} can be flipped, such as that of the document {document_id}", fault)


def _refused(tenant: Tenant, what: str, fault: Fault) -> Refused:
    return Refused(
        f"{tenant.slug}: nothing was switched: {what}: {fault.message}",
        hint="change what refuses it, or `rehouse accept` the documents that are to stay, then run the same command again",
    )
