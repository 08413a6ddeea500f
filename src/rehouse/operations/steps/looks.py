"""The looks at S3 while a batch's rows are locked: within the lock budget, nothing asked twice and nothing waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rehouse.core import lock_budget
from rehouse.core.lock_budget import LockBudget
from rehouse.core.model import Fault, ObjectRef
from rehouse.core.pricing import LISTED_PER_REQUEST
from rehouse.ledger.documents import Documents, LockedCopy
from rehouse.operations.services import Services
from rehouse.operations.steps.survey import head_all
from rehouse.s3.bulk.sender import NotInTime

LISTED_PAGES = 3
"""A batch's range of keys is listed if it lies within so many pages: they come one after the other, under the locks."""
LISTING_GAIN = 25
"""How many HEADs a page of a listing must save; by S3's prices it costs 12.5 of them."""

Etags = dict[ObjectRef, str | Fault | None]


class GivenBack(Exception):
    """The looks did not end in time, so the rows are released. The reasons are those of NotInTime."""

    def __init__(self, refs: set[ObjectRef], reason: NotInTime) -> None:
        super().__init__(f"{len(refs)} objects: {reason}")
        self.refs, self.is_slow, self.is_refused = refs, reason.is_slow, reason.is_refused


@dataclass
class Looks:
    """One batch's looks, until a moment of the monotonic clock. `faults`: what was found out before, without locks.

    `etags` is what every source is now (None: gone, or the fault), `others` the shared objects that rows are to return to and
    that other rows point to.
    """

    services: Services
    documents: Documents
    budget: LockBudget
    until: float
    faults: Mapping[ObjectRef, Fault]
    etags: Etags = field(default_factory=dict)
    others: Etags = field(default_factory=dict)

    def at(self, locked: Sequence[LockedCopy]) -> Sequence[LockedCopy]:
        """Look at the sources, of as many of the copies as can be looked at in time; return these. Raises GivenBack."""
        sources = {copy.source for copy in locked} - self.faults.keys()
        try:
            if not self._list(sources):
                locked = locked[: max(1, self.services.bulk.room(self.budget.limit / 2))]
                sources &= {copy.source for copy in locked}
                self.etags |= self._asked(sources)
            self.others |= self._others([copy for copy in locked if copy.source not in self.faults])
        except NotInTime as error:
            raise GivenBack(sources, error) from error
        self.etags |= {copy.source: self.faults[copy.source] for copy in locked if copy.source in self.faults}
        return locked

    def _list(self, sources: set[ObjectRef]) -> bool:
        """List the range of the keys where that takes fewer requests than a HEAD for each; return whether it was done."""
        bucket = next(iter(sources)).bucket if len({ref.bucket for ref in sources}) == 1 else None
        between = self._between(bucket, sources) if bucket else 0
        pages = -(-between // LISTED_PER_REQUEST)
        if not bucket or not pages or not self.budget.may_list(pages):
            return False
        most = min(between, LISTED_PER_REQUEST)  # what a page holds beyond the range is read for nothing
        first, *_, last = sorted(sources, key=lambda ref: ref.key)
        began = time.monotonic()
        found: Etags = dict.fromkeys(sources)
        for page in self.services.bulk.list(bucket, after=first.key, through=last.key, until=self.until, most=most):
            found.update({ref: each.etag for each in page if (ref := ObjectRef(bucket, each.key)) in sources})
        self.services.stop_here()
        self.budget = lock_budget.listed(self.budget, pages, time.monotonic() - began)
        self.etags |= found | self._asked({first})  # the listing begins after it
        return True

    def _between(self, bucket: str, refs: set[ObjectRef]) -> int:
        """Return how many objects lie in the range of the keys, 0 where a HEAD for each takes fewer requests."""
        worth = min(LISTED_PAGES, len(refs) // LISTING_GAIN) * LISTED_PER_REQUEST
        if not worth:
            return 0
        keys = sorted(ref.key for ref in refs)
        between = self.services.ledger.inventory().count_range(bucket, keys[0], keys[-1], worth + 1)
        return between if len(refs) <= between <= worth else 0

    def _others(self, locked: Sequence[LockedCopy]) -> Etags:
        shared = self.services.settings.require_shared_buckets()
        back = {copy.target for copy in locked if copy.target.bucket in shared}
        return self._asked(self.documents.pointed_at(back))

    def _asked(self, refs: set[ObjectRef]) -> Etags:
        if not refs:
            return {}
        found, faults = head_all(self.services, refs, until=self.until)
        return {**faults, **{ref: each.etag if each else None for ref, each in found.items()}}
