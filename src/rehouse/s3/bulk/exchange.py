"""What all requests of a plane share: limiter, slots, credentials, what was learnt about the endpoint, the connections.

Each running generator borrows transfers of its own, so several threads can use one exchange. Transfers never cross a
fork: a child that closed its parent's would end the parent's connections.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rehouse.core.errors import Interrupted
from rehouse.core.model import Fault
from rehouse.s3.bulk.clock_and_credentials import Identity
from rehouse.s3.bulk.requests import Request
from rehouse.s3.bulk.sender import Answer, Conditions, Sender
from rehouse.s3.bulk.slots import Slots
from rehouse.s3.bulk.throttle import Throttle
from rehouse.s3.bulk.transfers import SPARE_CONNECTIONS, Transfers
from rehouse.s3.new_buckets import NewBuckets
from rehouse.s3.session import Session

T = TypeVar("T")

_INHERITED: list[list[Transfers]] = []
"""A parent's transfers, kept after a fork so that nothing closes them here."""


class Exchange:
    """Sends requests to S3, at most `max_in_flight` at once, all generators together."""

    def __init__(
        self,
        session: Session,
        max_in_flight: int,
        throttle: Throttle,
        clock: Callable[[], float],
        random: Callable[[], float],
        *,
        new_buckets: NewBuckets,
    ) -> None:
        self.throttle = throttle
        self.endpoint = session.endpoint
        self._ceiling = max_in_flight
        identity, slots = Identity(session, clock), Slots(max_in_flight)
        self._shared = Conditions(identity, throttle, slots, random, new_buckets=new_buckets)
        self._lock = threading.Lock()
        self._idle: list[Transfers] = []
        self._process = os.getpid()

    def run(
        self,
        requests: Iterable[Request[T]],
        instead: Callable[[Request[T], Fault], Request[T] | None] | None = None,
        *,
        until: float | None = None,
    ) -> Generator[Answer[T], None, None]:
        """Yield an Answer for each request, in any order; see `Sender.run` for what is raised, and for `until`.

        `instead` may return another request to send in the place of one that failed.
        """
        with self._transfers() as transfers:
            yield from Sender(self._shared, transfers, self._ceiling, instead, until).run(requests)

    def only(self, request: Request[T], until: float | None = None) -> Answer[T]:
        """Return the answer to one request, also if it came home after an interruption; raise Interrupted if none came."""
        with self._transfers() as transfers:
            answers = list(Sender[T](self._shared, transfers, 1, until=until).run([request]))
        if not answers:
            self.stop_if_interrupted()
        (answer,) = answers
        return answer

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._shared.interrupted

    def interrupt(self) -> None:
        """Take no new work; what is in flight comes home."""
        self._shared.interrupted = True

    def stop_if_interrupted(self) -> None:
        """Raise Interrupted if `interrupt` was called."""
        if self._shared.interrupted:
            raise Interrupted("interrupted while looking at objects", hint="run the same command again: it goes on")

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _transfers(self) -> Iterator[Transfers]:
        """Lend transfers of this process; they come back only if nothing was left in flight."""
        with self._lock:
            if self._process != os.getpid():
                _INHERITED.append(self._idle)
                self._idle, self._process = [], os.getpid()
                self._shared.slots = Slots(self._ceiling)
            transfers = self._idle.pop() if self._idle else None
        transfers = transfers or Transfers(self._ceiling)
        try:
            yield transfers
        finally:
            if transfers.in_flight:
                transfers.close()
            else:
                self._keep(transfers)

    def _keep(self, transfers: Transfers) -> None:
        """Keep transfers for the next generator; the oldest go where as many connections idle as may ever be in use."""
        with self._lock:
            self._idle.append(transfers)
            while sum(each.most_connections for each in self._idle) > self._ceiling + SPARE_CONNECTIONS:
                self._idle.pop(0).close()
