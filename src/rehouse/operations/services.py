"""Services: the ledger, S3 and the engine, connected in one place, `Services.open`."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from rehouse.config import Settings
from rehouse.core import lock_budget
from rehouse.core.copies import Places
from rehouse.core.errors import Interrupted, RehouseError
from rehouse.core.lock_budget import LockBudget
from rehouse.core.model import ObjectRef
from rehouse.core.pricing import PriceList
from rehouse.core.progress import SECONDS_BETWEEN_REPORTS, Progress, Report, report_nothing
from rehouse.engine.local import LocalEngine
from rehouse.ledger.connection import address_of
from rehouse.ledger.dropped_buckets import add_dropped, read_dropped_buckets
from rehouse.ledger.installation import Installation
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.lock import Locks
from rehouse.ledger.usage import settle_usage
from rehouse.operations.shared_buckets import locate, require_places, without_present
from rehouse.s3.buckets.control import BucketPresence, Control, foreign_bucket_error
from rehouse.s3.bulk import BulkPlane
from rehouse.s3.bulk.target_guard import TargetGuard
from rehouse.s3.faults import NO_SUCH_BUCKET, refused_error
from rehouse.s3.new_buckets import NEW_SECONDS, NewBuckets
from rehouse.s3.session import Session

Tell = TypeVar("Tell")


@dataclass
class LeftOut:
    """Objects that a listing showed and that are not in the inventory, because the database cannot hold their keys."""

    objects: int = 0
    size: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass
class Spellings:
    """What a run knows about keys that are spelled differently in their rows. All threads of the run share it.

    `listed`: the buckets whose listing is in the run's inventory. `prefixes`: the prefixes that the application puts in front of
    its keys, by bucket, and how often they were searched for. `asked`: the results of HEADs, by home bucket, if nothing was listed.
    """

    listed: set[str] = field(default_factory=set)
    prefixes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    scans: Counter[str] = field(default_factory=Counter)
    asked: dict[str, dict[ObjectRef, bool]] = field(default_factory=dict)


@dataclass
class Services:
    """What an operation needs. A signal sets `stopping`: the run then saves what is under way, and ends."""

    settings: Settings
    ledger: Ledger
    locks: Locks
    control: Control
    bulk: BulkPlane
    engine: LocalEngine
    report: Report = report_nothing
    stopping: threading.Event = field(default_factory=threading.Event)
    guard: TargetGuard = field(default_factory=TargetGuard)
    lock_budgets: dict[str, LockBudget] = field(default_factory=dict)
    spellings: Spellings = field(default_factory=Spellings)
    left_out: dict[str, LeftOut] = field(default_factory=dict)
    writes: bool = True
    provisioned: set[str] = field(default_factory=set)
    """The homes that this run has provisioned already."""
    begun_at: float = field(default_factory=time.monotonic)
    _reported_at: float = 0.0

    @classmethod
    @contextmanager
    def open(
        cls, settings: Settings, *, writes: bool, report: Report = report_nothing, slugs: Sequence[str] = ()
    ) -> Iterator[Services]:
        """Open everything, and close it at the end. `writes` is False for operations that change nothing.

        With `writes` the schema is brought up to date first, if the shared buckets and the tenants `slugs` exist. Raises Refused
        errors for whatever cannot be used.
        """
        settings = require_places(settings)
        address_of(settings.require_database_url())  # refuse a wrong address before asking S3
        stopping = threading.Event()
        with ExitStack() as opened:
            new_buckets = NewBuckets(tell=lambda bucket, text: report(Progress(bucket, "wait", text=text)))
            pause = partial(_pause, stopping)
            control = Control(Session(settings), sleep=pause, new_buckets=new_buckets)
            control.session.credentials()
            settings, presences = locate(settings, control)
            if settings.region != control.session.region:
                control = Control(Session(settings), sleep=pause, new_buckets=new_buckets)
            account = control.identity().account
            if writes:
                _refuse_missing(settings, presences, slugs, account)
                with Installation.open(settings) as installation:
                    installation.upgrade()
            ledger = Ledger.open(settings, writes=writes)
            opened.callback(ledger.close)
            dropped = read_dropped_buckets(ledger.connection, ledger.catalog)
            settings = without_present(add_dropped(settings, dropped), presences)
            for home, age_seconds in ledger.recent_homes(NEW_SECONDS):
                new_buckets.expect(home, age_seconds)
            settle_usage(ledger.connection, ledger.catalog)
            locks = opened.enter_context(
                Locks(settings.require_database_url(), password_command=settings.database_password_command)
            )
            bulk = BulkPlane(
                control.session,
                max_in_flight=settings.max_in_flight,
                max_rate=settings.max_rate,
                owner=account,
                new_buckets=new_buckets,
            )
            opened.callback(bulk.close)
            engine = LocalEngine(
                bulk,
                control.client,
                multipart_threshold_bytes=settings.multipart_threshold_bytes,
                multipart_part_bytes=settings.multipart_part_bytes,
                owner=account,
            )
            yield cls(settings, ledger, locks, control, bulk, engine, report, stopping, writes=writes)
            with suppress(RehouseError):  # the next command folds what stays pending
                settle_usage(ledger.connection, ledger.catalog)

    @contextmanager
    def worker(self) -> Iterator[Services]:
        """Open the same services for another thread of this run, with a ledger connection of its own."""
        ledger = Ledger.open(self.settings, writes=True, run_id=self.ledger.run_id)
        try:
            yield replace(self, ledger=ledger)
        finally:
            ledger.close()

    def lock_budget(self, work: str) -> LockBudget:
        """Return the lock budget of this kind of work, learnt in this run by all threads together."""
        return self.lock_budgets.get(work) or lock_budget.start_budget(self.settings.lock_budget_ms / 1000)

    @property
    def prices(self) -> PriceList:
        """The price list of the settings."""
        return self.settings.prices.price_list()

    def places(self, home: str, *, is_live: bool = False) -> Places:
        """Return the places of a tenant whose home bucket is `home`; `is_live`: the application writes there already."""
        return Places(self.settings.require_shared_buckets(), home, self.ledger.catalog.longest_key, is_live)

    def stop(self) -> None:
        """End the run as soon as the work in flight is saved. A signal handler calls this."""
        self.stopping.set()
        self.bulk.interrupt()

    def stop_here(self) -> None:
        """Raise Interrupted if the run is to stop. Called only at points where everything is saved."""
        if self.stopping.is_set():
            if not self.writes:
                raise Interrupted("stopped before the end: nothing was changed", hint="run the same command again")
            raise Interrupted("stopped: everything done so far is saved", hint="run the same command again to continue")

    def report_seldom(self, tell: Callable[[Tell], Progress], about: Tell) -> None:
        """Report `tell(about)`, but at most every half second; for steps that count every document."""
        now = time.monotonic()
        if now - self._reported_at >= SECONDS_BETWEEN_REPORTS:
            self._reported_at = now
            self.report(tell(about))

    def summary(self) -> str:
        """Return a sentence with the id of the run and its elapsed time."""
        elapsed = timedelta(seconds=round(time.monotonic() - self.begun_at))
        return f"Run {self.ledger.run_id}, {elapsed} elapsed."

    def keep_locks(self) -> None:
        """Take lost locks again before anything is written. Raises TryAgain if another operator has them now."""
        self.locks.keep()


def _pause(stopping: threading.Event, seconds: float) -> None:
    if stopping.wait(seconds):
        raise Interrupted("stopped while waiting for S3", hint="run the same command again to continue")


def _refuse_missing(
    settings: Settings, presences: Mapping[str, BucketPresence], slugs: Sequence[str], account: str | None
) -> None:
    """Refuse missing buckets and tenants now, and not only after the schema was changed and buckets were made."""
    for bucket, presence in presences.items():
        if presence.whose == "absent":
            raise refused_error(NO_SUCH_BUCKET, "it does not exist", f"the shared bucket {bucket}")
        if presence.whose == "somebody_else" and account:  # S3 would refuse every request to it
            raise foreign_bucket_error(bucket)
    with closing(Ledger.open(settings, writes=False, may_be_older=True)) as ledger:
        for slug in slugs:
            ledger.tenant(slug)
