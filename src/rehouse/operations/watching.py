"""Watch the commands at work on every machine through the ledger, with simple queries once a second.

If the database cannot be reached, the watch shows that and connects again until it can.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rehouse.config import Settings
from rehouse.core.errors import RehouseError
from rehouse.core.model import TenantId
from rehouse.core.tenant_state import TenantState
from rehouse.core.watching import Look, PublishedRow, WatchState
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.progress import RecentEvent, database_time, latest_events, phases, read_published, require_table

SECONDS_BETWEEN = 1.0
EVENTS = 50
"""How many lines of the history each look reads."""
SECONDS_BETWEEN_NAMES = 30.0
"""How often to read the tenants again if one is unknown."""
SECONDS_BETWEEN_STATES = 10.0
"""How often to read the states of all tenants again while nothing happens."""


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """A line of the history, with the tenant's slug."""

    at: datetime
    actor: str
    slug: str | None
    tenant_id: TenantId | None
    run_id: str | None
    event: str
    from_phase: str | None
    to_phase: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look shows. `at`: the database's clock, None while the database is `away`; `new_events`: oldest first.

    `states`: the number of tenants by state. `idle_seconds`: how long no command has been at work, counted from the start of the
    watch at the earliest.
    """

    look: Look = field(default_factory=Look)
    events: tuple[HistoryEvent, ...] = ()
    new_events: tuple[HistoryEvent, ...] = ()
    states: Mapping[TenantState, int] = field(default_factory=dict)
    at: datetime | None = None
    away: RehouseError | None = None
    idle_seconds: float = 0.0


def watch(settings: Settings, is_over: threading.Event) -> Iterator[Sight]:
    """Look once a second until `is_over`. Raises DatabaseRefused or TryAgain if the first look fails."""
    watcher = _Watcher(settings)
    try:
        yield watcher.look()
        while not is_over.wait(SECONDS_BETWEEN):
            try:
                sight = watcher.look()
            except RehouseError as error:
                watcher.close()
                sight = watcher.show_last(error)
            yield sight
    finally:
        watcher.close()


class _Watcher:
    """One watcher: its connection, its last look, and the tenants' names."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ledger: Ledger | None = None
        self._watched = WatchState()
        self._busy_at = time.monotonic()
        self._slugs: dict[TenantId, str] = {}
        self._named_at = float("-inf")
        self._seen: set[int] | None = None
        self._states: Mapping[TenantState, int] = {}
        self._counted_at = float("-inf")
        self._last = Sight()

    def look(self) -> Sight:
        with translate_errors():
            ledger = self._ledger or self._connect()
            rows, now = read_published(ledger), time.monotonic()
            look = self._watched.take(rows, self._phases(ledger, rows), now)
            if look.alive:
                self._busy_at = now
            events, new = self._events(ledger)
            if new or look.ended or now - self._counted_at >= SECONDS_BETWEEN_STATES:
                self._states, self._counted_at = Counter(each.state for each in ledger.overview()), now
            idle = now - self._busy_at
            self._last = Sight(look, events, new, self._states, database_time(ledger), idle_seconds=idle)
            return self._last

    def show_last(self, error: RehouseError) -> Sight:
        """Return the last look while the database cannot be reached; this time does not count as idle."""
        self._busy_at = time.monotonic()
        look = Look(self._last.look.alive, self._last.look.killed)
        return Sight(look, self._last.events, states=self._states, away=error)

    def close(self) -> None:
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _connect(self) -> Ledger:
        self._ledger = Ledger.open(self._settings, writes=False)
        require_table(self._ledger)
        return self._ledger

    def _phases(self, ledger: Ledger, rows: Sequence[PublishedRow]) -> dict[str, str | None]:
        """Return the phases of the tenants at work, by slug."""
        subjects = {row.counts.subject for row in rows if row.counts.subject}
        ids = {slug: tenant_id for tenant_id, slug in self._names(ledger, subjects).items() if slug in subjects}
        found = phases(ledger, list(ids.values()))
        return {slug: found.get(tenant_id) for slug, tenant_id in ids.items()}

    def _names(self, ledger: Ledger, wanted: set[str] | set[TenantId]) -> dict[TenantId, str]:
        """Return the slugs of the tenants by id; read them again from time to time if one is missing."""
        is_known = wanted <= {*self._slugs, *self._slugs.values()}
        if not is_known and time.monotonic() - self._named_at >= SECONDS_BETWEEN_NAMES:
            self._slugs = {tenant.id: tenant.slug for tenant in ledger.tenants()}
            self._named_at = time.monotonic()
        return self._slugs

    def _events(self, ledger: Ledger) -> tuple[tuple[HistoryEvent, ...], tuple[HistoryEvent, ...]]:
        """Return the last lines of the history, and which of them are new since the last look."""
        found = latest_events(ledger, EVENTS)[::-1]
        slugs = self._names(ledger, {each.tenant_id for each in found if each.tenant_id is not None})
        new = [] if self._seen is None else [each for each in found if each.id not in self._seen]
        self._seen = {each.id for each in found}
        return tuple(_name_tenant(each, slugs) for each in found), tuple(_name_tenant(each, slugs) for each in new)


def _name_tenant(event: RecentEvent, slugs: dict[TenantId, str]) -> HistoryEvent:
    slug = None if event.tenant_id is None else slugs.get(event.tenant_id)
    columns = {name: value for name, value in event._asdict().items() if name != "id"}
    return HistoryEvent(slug=slug, **columns)
