"""Counts the moments of a run, before and after each call to S3 or PostgreSQL, and kills its process at one of them."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass, field

from tests.support.http_relay import HttpRelay, HungUp, Reply, Request
from tests.support.postgres_relay import PostgresRelay


@dataclass
class Killer:
    """Counts the moments of a run and kills its process at one of them; `at` None lets it live.

    `since`: they are counted from the first one on that names this.
    """

    at: int | None = None
    since: str = ""
    pid: int = 0
    moments: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def moment(self, what: str) -> None:
        """Note a moment; raise OSError for whoever carries bytes of a process that is dead."""
        with self._lock:
            if self.at is not None and len(self.moments) > self.at:
                raise ConnectionAbortedError
            if not self.moments and self.since not in what:
                return
            self.moments.append(what)
            if len(self.moments) - 1 == self.at:
                os.kill(self.pid, signal.SIGKILL)
                raise ConnectionAbortedError

    def watch(self, storage: HttpRelay, database: PostgresRelay) -> None:
        """Listen to both relays."""

        def before(request: Request) -> Reply | None:
            self._request(f"before {request.operation}")
            return None

        def after(request: Request, reply: Reply) -> Reply:
            self._request(f"after {request.operation}")
            return reply

        storage.before, storage.after = before, after
        database.before = lambda what: self.moment(f"before {what}")
        database.after = lambda what: self.moment(f"after {what}")

    def _request(self, what: str) -> None:
        try:
            self.moment(what)
        except ConnectionAbortedError:
            raise HungUp from None
