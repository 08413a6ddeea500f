"""What all requests of a plane share: limiter, slots, credentials, connections, knowledge of the endpoint.

Each running generator borrows its own transfers, so several threads can use one exchange. Transfers are never used after a
fork, because a child that closed them would end the parent's connections.
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
"""The parent's transfers after a fork, kept so that the child never closes them."""


class Exchange:
    """Sends requests to S3, at most `max_in_flight` at once over all generators."""

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
        """Yield an Answer for each request, in any order.

        `until` and the errors are those of `Sender.run`. `instead` may return a request to send in place of one that failed.
        """
        with self._transfers() as transfers:
            yield from Sender(self._shared, transfers, self._ceiling, instead, until).run(requests)

    def answer(self, request: Request[T], until: float | None = None) -> Answer[T]:
        """Return the answer to one request.

        Raises Interrupted if an interruption came before the answer.
        """
        with self._transfers() as transfers:
            answers = list(Sender[T](self._shared, transfers, 1, until=until).run([request]))
        if not answers:
            self.stop_if_interrupted()
        (answer,) = answers
        return answer

    @property
    def is_interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._shared.is_interrupted

    def interrupt(self) -> None:
        """Start no more requests; those in flight are still answered."""
        self._shared.is_interrupted = True

    def stop_if_interrupted(self) -> None:
        """Raise Interrupted if `interrupt` was called."""
        if self._shared.is_interrupted:
            raise Interrupted("interrupted while checking objects", hint="run the same command again: it continues")

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    @contextmanager
    def _transfers(self) -> Iterator[Transfers]:
        """Lend transfers of this process.

        They are reused only if nothing is in flight at the end.
        """
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
        """Keep transfers for the next generator.

        Close the oldest if more connections idle than can ever be used.
        """
        with self._lock:
            self._idle.append(transfers)
            while sum(each.most_connections for each in self._idle) > self._ceiling + SPARE_CONNECTIONS:
                self._idle.pop(0).close()
