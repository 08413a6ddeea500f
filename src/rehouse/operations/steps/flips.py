"""Switch a tenant's home, then flip the pointers of the verified copies, for a migration and for a rollback.

From the switch on, new uploads go to the new bucket. Each pointer is flipped while its row is locked. The row must be as it was
copied, and rehouse checks the source's ETag and other tenants' claims on it once more while it holds the lock. These checks must
end within the lock budget; they are not retried and do not wait.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from rehouse.core import lock_budget
from rehouse.core.copies import CopiedDocument, Reason
from rehouse.core.lifecycle import Phase
from rehouse.core.lock_budget import LockBudget
from rehouse.core.model import Fault, Migration, ObjectRef, Tenant
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.core.progress import Progress
from rehouse.ledger.copies import Documents
from rehouse.ledger.row_refusals import RowsRefused
from rehouse.operations.services import Services
from rehouse.operations.steps.busy_rows import passes
from rehouse.operations.steps.run import Run
from rehouse.operations.steps.survey import head_all
from rehouse.s3.bulk.sender import NotInTime

NAMING, FLIPPING = "naming", "flipping"
"""The kinds of work that lock rows in batches. Each learns its own number of rows."""
GIVEN_BACK = 6
"""How often a batch releases its locks before its documents are left for the next pass, with the reason."""

LEAST_REQUESTS = 2
"""The least number of requests of a batch: a page of a listing and a HEAD, or a HEAD for its source and its target."""

CHANGED = Fault("SourceChanged", "the source changed after its copy")
CLAIMED = Fault(Reason.OTHER_TENANTS_OBJECT, "after the copy, a row of another tenant pointed to the same object")
TOO_SLOW = Fault(
    "LockBudget", "S3 did not answer about its source within the time for which a row may be locked (lock_budget_ms)"
)
GIVEN_AWAY = Fault("TargetChanged", "another document now uses the key that it was to return to")


@dataclass
class Flips:
    """The counts of flips: pointers flipped, sources that changed or that another tenant claims since the copy, rows that refused
    the flip, sources without an answer from S3, and copies left, which are the unanswered ones and those whose rows stayed locked.
    """

    flipped: int = 0
    changed: int = 0
    refused: int = 0
    unseen: int = 0
    left: int = 0

    def add(self, batch: Flips) -> int:
        """Add the counts of a batch; return how many copies the batch had."""
        self.flipped += batch.flipped
        self.changed += batch.changed
        self.refused += batch.refused
        self.unseen += batch.unseen
        return batch.flipped + batch.changed + batch.refused + batch.unseen


def switch(run: Run) -> Run:
    """Direct new uploads to the tenant's own bucket, unless that was done before."""
    migration = switch_home(run.services, run.migration, run.tenant)
    return replace(run.at(migration), changes=run.changes + (migration.phase is not run.phase))


def flip(run: Run) -> Run:
    """Flip the pointers of the verified copies."""
    return _add_flips(run, flip_copies(run.services, run.migration, run.slug))


def flip_canary(run: Run) -> Run:
    """Flip the pointers of the first few documents, if a canary was asked for."""
    if not run.order.canary:
        return run
    return _add_flips(run, flip_first(run.services, run.migration, run.order.canary))


def _add_flips(run: Run, flips: Flips) -> Run:
    report = run.report.add(this_run=flips.flipped)
    return replace(run, report=report, changes=run.changes + flips.flipped + flips.changed)


def switch_home(services: Services, migration: Migration, tenant: Tenant) -> Migration:
    """Fill in NULL buckets, then switch the tenant's home; return the migration, which is in `cut_over` at least."""
    services.keep_locks()
    if migration.phase is not Phase.VERIFIED:
        return migration
    name_null_buckets(services, migration)
    return services.ledger.switch_home(migration, tenant)


def name_null_buckets(services: Services, migration: Migration) -> None:
    """Write the shared bucket's name into the tenant's rows that have a key but no bucket."""
    documents = services.ledger.documents(migration)
    after: str | None = None
    while True:
        budget, began = services.lock_budget(NAMING), time.monotonic()
        after = services.ledger.run_with_retries(partial(documents.name_null_buckets, after, budget.rows))
        if after is None:
            return
        services.lock_budgets[NAMING] = lock_budget.after_batch(budget, budget.rows, time.monotonic() - began)
        services.stop_here()


def flip_copies(services: Services, migration: Migration, subject: str) -> Flips:
    """Flip every verified copy whose row and source are as they were when copied; return the counts.

    A document is copied again if its source changed or another tenant now claims it. A copy whose row moved or was deleted becomes
    superseded.
    """
    documents = services.ledger.documents(migration)
    flips = Flips()
    total, _ = documents.count_copies()
    for _ in passes():
        if total:
            name_null_buckets(services, migration)  # repeat it, because a row that was locked before still has none
            _one_pass(services, documents, flips, subject, total)
        services.ledger.run_with_retries(documents.supersede)
        flips.left = documents.count_copies()[0] if flips.flipped < total else 0
        if flips.left <= flips.unseen:  # S3 was asked several times already
            break
    return flips


def flip_first(services: Services, migration: Migration, count: int) -> Flips:
    """Flip the first `count` copies that can be flipped, in order of id, and no others; return the counts."""
    documents = services.ledger.documents(migration)
    name_null_buckets(services, migration)
    flips, after, looked_at = Flips(), None, 0
    while looked_at < count:
        services.stop_here()
        services.keep_locks()
        after, some = _flip_batch(_Batch(services, documents, after, count - looked_at))
        looked_at += flips.add(some)
        if after is None:
            break
    return replace(flips, left=documents.count_copies()[0])


def _one_pass(services: Services, documents: Documents, flips: Flips, subject: str, total: int) -> None:
    after: str | None = None
    is_over = False
    flips.unseen = 0
    while not is_over:
        services.stop_here()
        services.keep_locks()
        after, some = _flip_batch(_Batch(services, documents, after, lock_budget.MOST_ROWS))
        is_over = after is None
        flips.add(some)
        services.report(Progress(subject, "flip", flips.flipped, total))


@dataclass
class _Batch:
    """The next rows to flip: at most so many rows after an id. `faults`: results for sources that were read without locks."""

    services: Services
    documents: Documents
    after: str | None
    most: int
    faults: dict[ObjectRef, Fault] = field(default_factory=dict)


def _flip_batch(batch: _Batch) -> tuple[str | None, Flips]:
    """Flip the next batch; return the counts and the id to continue after (None: it was the last batch).

    If a batch's sources cannot be checked within the lock budget, it releases its locks, because no lock is held while rehouse
    retries or waits. Then it tries a smaller batch.
    """
    services = batch.services
    for given_back in itertools.count(1):
        services.stop_here()
        try:
            return _flip_allowed(batch)
        except GivenBack as back:
            budget = services.lock_budget(FLIPPING)
            services.lock_budgets[FLIPPING] = lock_budget.after_giving_up(budget, is_slow=back.is_slow)
            if given_back >= GIVEN_BACK:
                batch.faults |= dict.fromkeys(back.refs, TOO_SLOW)
            elif back.is_refused:
                batch.faults |= head_all(services, back.refs)[1]
    raise AssertionError  # the loop does not end


def _flip_allowed(batch: _Batch) -> tuple[str | None, Flips]:
    """Flip the batch. If a row refuses, repeat the batch, which then finds such rows and flips the others."""
    patiently = batch.services.ledger.run_with_retries
    try:
        return patiently(partial(_flip_locked, batch, batch.documents.flip))
    except RowsRefused:
        return patiently(partial(_flip_locked, batch, batch.documents.flip_allowed))


def _flip_locked(batch: _Batch, flip: Callable[[Sequence[str]], int]) -> tuple[str | None, Flips]:
    services, documents = batch.services, batch.documents
    budget = services.lock_budget(FLIPPING)
    most = min(batch.most, budget.rows)
    with services.bulk.reserve(LEAST_REQUESTS), documents.lock_copies(batch.after, most) as locked:
        if not locked:
            return None, Flips()
        began = time.monotonic()
        looks = Looks(services, documents, budget, began + budget.patience, batch.faults)
        seen = looks.at(locked)
        claimed = documents.find_claimed_by_others(
            copy.source for copy in seen
        )  # asked last, because a claim may be very recent
        some = _settle(documents, looks, seen, claimed, flip)
    services.lock_budgets[FLIPPING] = lock_budget.after_batch(looks.budget, len(seen), time.monotonic() - began)
    is_last = len(locked) < most and len(seen) == len(locked)
    return None if is_last else seen[-1].document_id, some


def _settle(
    documents: Documents,
    looks: Looks,
    seen: Sequence[CopiedDocument],
    claimed: Collection[ObjectRef],
    flip: Callable[[Sequence[str]], int],
) -> Flips:
    """Flip the locked rows that are as they were when copied; record a reason for the others."""
    same, some = [], Flips()
    for copy in seen:
        etag, there = looks.etags[copy.source], looks.others.get(copy.target, copy.target_etag)
        fault = next((each for each in (etag, there) if isinstance(each, Fault)), None)
        if copy.source in claimed:
            documents.drop_copy(copy.document_id, CLAIMED)
            some.changed += 1
        elif fault:
            documents.record_fault(copy.document_id, fault)
            some.unseen += 1
        elif etag == copy.source_etag and there == copy.target_etag:
            same.append(copy.document_id)
        else:
            documents.drop_copy(copy.document_id, CHANGED if etag != copy.source_etag else GIVEN_AWAY)
            some.changed += 1
    some.refused = flip(same) if same else 0
    some.flipped = len(same) - some.refused
    return some


Etags = dict[ObjectRef, str | Fault | None]


class GivenBack(Exception):
    """The checks did not end in time, so the rows are released. The reasons are those of NotInTime."""

    def __init__(self, refs: set[ObjectRef], reason: NotInTime) -> None:
        super().__init__(f"{len(refs)} objects: {reason}")
        self.refs, self.is_slow, self.is_refused = refs, reason.is_slow, reason.is_refused


@dataclass
class Looks:
    """The checks of one batch, until a moment of the monotonic clock. `faults`: results from before the rows were locked.

    `etags`: the present ETag of every source (None: deleted), or the fault. `others`: the shared objects to which rows must return
    and to which other rows point.
    """

    services: Services
    documents: Documents
    budget: LockBudget
    until: float
    faults: Mapping[ObjectRef, Fault]
    etags: Etags = field(default_factory=dict)
    others: Etags = field(default_factory=dict)

    def at(self, locked: Sequence[CopiedDocument]) -> Sequence[CopiedDocument]:
        """Check the sources of as many copies as possible in time; return these copies. Raises GivenBack."""
        sources = {copy.source for copy in locked} - self.faults.keys()
        try:
            if not self._list(sources):
                locked = locked[: max(1, self.services.bulk.room(self.budget.limit / 2))]
                sources &= {copy.source for copy in locked}
                self.etags |= self._head(sources)
            self.others |= self._others([copy for copy in locked if copy.source not in self.faults])
        except NotInTime as error:
            raise GivenBack(sources, error) from error
        self.etags |= {copy.source: self.faults[copy.source] for copy in locked if copy.source in self.faults}
        return locked

    def _list(self, sources: set[ObjectRef]) -> bool:
        """List the range of the keys if that takes fewer requests than a HEAD for each; return whether it did."""
        bucket = next(iter(sources)).bucket if len({ref.bucket for ref in sources}) == 1 else None
        between = self._between(bucket, sources) if bucket else 0
        pages = -(-between // LISTED_PER_REQUEST)
        if not bucket or not pages or not self.budget.may_list(pages):
            return False
        most = min(between, LISTED_PER_REQUEST)  # objects beyond the range are not needed
        first, *_, last = sorted(sources, key=lambda ref: ref.key)
        began = time.monotonic()
        found: Etags = dict.fromkeys(sources)
        for page in self.services.bulk.list(bucket, after=first.key, through=last.key, until=self.until, most=most):
            found.update({ref: each.etag for each in page if (ref := ObjectRef(bucket, each.key)) in sources})
        self.services.stop_here()
        self.budget = lock_budget.after_listing(self.budget, pages, time.monotonic() - began)
        self.etags |= found | self._head({first})  # the listing begins after it
        return True

    def _between(self, bucket: str, refs: set[ObjectRef]) -> int:
        """Return how many objects are in the range of the keys, or 0 if a HEAD for each takes fewer requests."""
        worth = lock_budget.objects_worth_listing(len(refs))
        if not worth:
            return 0
        keys = sorted(ref.key for ref in refs)
        between = self.services.ledger.inventory().count_range(bucket, keys[0], keys[-1], worth + 1)
        return between if len(refs) <= between <= worth else 0

    def _others(self, locked: Sequence[CopiedDocument]) -> Etags:
        shared = self.services.settings.require_shared_buckets()
        back = {copy.target for copy in locked if copy.target.bucket in shared}
        return self._head(self.documents.find_pointed_at_once(back))

    def _head(self, refs: set[ObjectRef]) -> Etags:
        if not refs:
            return {}
        found, faults = head_all(self.services, refs, until=self.until)
        return {**faults, **{ref: each.etag if each else None for ref, each in found.items()}}
