"""Trials: before rehouse switches a home or gives it back, it tests that a row of each kind can be flipped.

It flips rows in transactions that it rolls back. The kinds of row are the documents table, or each of its partitions. A trial finds
generated columns, foreign keys on the key, rules, triggers that protect rows, missing rights and types that do not fit before
anything has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from rehouse.core.errors import Refused, TryAgain
from rehouse.core.lifecycle import Phase
from rehouse.core.model import Fault, Migration, Tenant
from rehouse.core.returns import probable_return
from rehouse.ledger.late_writes import RowIsBusy
from rehouse.ledger.trials import Trials
from rehouse.operations.services import Services
from rehouse.operations.steps.busy_rows import passes
from rehouse.operations.steps.run import Run

CANDIDATES = 100
"""How many rows of a kind to try before rehouse decides that the kind cannot be flipped."""

Attempt = Callable[[], Fault | None]
"""Tries a change and rolls it back; returns why it is refused. Raises RowIsBusy if another transaction locked the row."""


@dataclass(frozen=True)
class _Trial:
    """The changes to try: that of the home, if any, and flips by kind and document. `nothing` and `hint` are for a refusal."""

    tenant: Tenant
    nothing: str
    hint: str
    home: Attempt | None
    flips: Callable[[], Mapping[str, Mapping[str, Attempt]]]

    def refusal(self, what: str, fault: Fault) -> Refused:
        return Refused(
            f"{self.tenant.slug}: {self.nothing}: {what}: {fault.message}", hint=self.hint, subject=self.tenant.slug
        )


def try_switch(run: Run) -> Run:
    """Decide whether the home may be switched: a document can move, is at home or on its way, or there is no document.

    If none of its documents can be moved, the tenant stays in the shared bucket. Raises what `try_cutover` raises, and Refused if
    no row is as it was when copied.
    """
    if run.phase is not Phase.VERIFIED:
        return run
    documents = run.services.ledger.documents(run.migration)
    copies, _ = documents.count_copies()
    if copies and try_cutover(run.services, run.migration, run.tenant):
        return run
    counts, stuck = documents.counts(), len(documents.list_outstanding(is_cut_over=False))
    if copies and counts.outside > counts.accepted + stuck + run.uploading:
        raise _missing_rows_refusal(run, copies, counts.outside)
    if stuck and not counts.at_home and counts.outside <= counts.accepted + stuck:
        return replace(run.note("none of its documents can be moved, so its home was not switched"), stays=True)
    return run


def _missing_rows_refusal(run: Run, copies: int, outside: int) -> Refused:
    """Return the refusal for copies without rows: the application changed all rows, or the ledger has other ids than the rows."""
    return Refused(
        f"{run.slug}: nothing was switched: no row is as it was when copied ({copies} copies, {outside} rows outside its bucket)",
        hint="run the same command again: if the application changed these rows, it copies them again; if this error comes back, "
        "compare document_id in s3_migration_documents with the ids of the rows",
        subject=run.slug,
    )


def try_cutover(services: Services, migration: Migration, tenant: Tenant) -> bool:
    """Try to switch the home and to flip a row of each kind, and undo both. Return whether a row was flipped.

    If no copy has a row that is as it was when copied, nothing can be tried, and the copies become superseded. Raises Refused, with
    PostgreSQL's reason, if no row of a kind can be flipped; TryAgain if all of them are locked.
    """
    trials = services.ledger.of(migration, Trials)

    def flips() -> Mapping[str, Mapping[str, Attempt]]:
        kinds = trials.candidates(CANDIDATES, is_partitioned=services.ledger.catalog.documents.is_partitioned).items()
        return {kind: {each: partial(trials.try_flip, each, tenant.home) for each in ids} for kind, ids in kinds}

    hint = (
        "change what refuses it, or run `rehouse accept` for documents that may stay, then run the same command again"
    )
    switch = partial(trials.switch, tenant.home)
    if _try_kinds(services, _Trial(tenant, "nothing was switched", hint, switch, flips)):
        return True
    services.ledger.run_with_retries(trials.supersede)
    return False


def try_return(services: Services, migration: Migration, tenant: Tenant, *, is_adopted: bool) -> None:
    """Try to give the home back and to return a row of each kind that is at home, and undo both.

    `is_adopted`: the home was the application's own. Raises as `try_cutover` does.
    """
    trials, places = services.ledger.of(migration, Trials), services.places(migration.home_bucket)
    is_switched = migration.phase is Phase.CUT_OVER

    def flips() -> Mapping[str, Mapping[str, Attempt]]:
        kinds: dict[str, dict[str, Attempt]] = {}
        for kind, seen in trials.candidates_at_home(CANDIDATES):
            document_id = seen.document.id
            if back := probable_return(seen, places, tenant.slug, is_adopted=is_adopted):
                attempt = partial(trials.try_return, document_id, back, is_switched=is_switched)
                kinds.setdefault(kind, {})[document_id] = attempt
        return kinds

    hint = "change what refuses it, then run the same command again"
    give_back = trials.give_back if is_switched else None
    _try_kinds(services, _Trial(tenant, "nothing was given back", hint, give_back, flips))


def _try_kinds(services: Services, trial: _Trial) -> bool:
    """Return whether a row of each kind could be flipped; False if there is no row. Raises what `try_cutover` raises."""
    kinds = trial.flips()
    if kinds and trial.home and (fault := services.ledger.run_with_retries(trial.home)):
        raise trial.refusal(f"the tenant's row in {services.ledger.catalog.tenants.name}", fault)
    for number in passes():
        kinds = trial.flips() if number else kinds  # read again each time, because rows move
        problems = [_problem(services, trial, *kind) for kind in kinds.items()]
        busy = [each for each in problems if isinstance(each, TryAgain)]
        for each in problems:
            if isinstance(each, Refused):
                raise each
        if not busy:
            return bool(kinds)
        services.stop_here()
    raise busy[0]


def _problem(
    services: Services, trial: _Trial, kind: str, attempts: Mapping[str, Attempt]
) -> Refused | TryAgain | None:
    """Return why no row of a kind can be flipped; None if one could."""
    refused: list[tuple[str, Fault]] = []
    for document_id, attempt in attempts.items():
        try:
            fault = services.ledger.run_with_retries(attempt)
        except RowIsBusy:
            continue
        if fault is None:
            return None
        refused.append((document_id, fault))
    if len(refused) < len(attempts):
        return TryAgain(
            f"{trial.tenant.slug}: {trial.nothing}: other transactions hold the rows in {kind} with which a flip was tried",
            hint="run the same command again, at a quieter time",
            subject=trial.tenant.slug,
        )
    document_id, fault = refused[0]
    return trial.refusal(f"no row in {kind} can be flipped, such as that of the document {document_id}", fault)
