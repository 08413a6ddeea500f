"""An application beside a run: eight connections that read, list, insert, update and delete, one long transaction, and a watcher.

It keeps to what `plan` asks of an application: an update holds its row's lock from reading the pointer to the commit. It rests
between two statements, so that it leaves the machine room for the run, and what it feels is locks more than a full core.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg

CONNECTIONS = 8
REST_SECONDS = 0.004
LONG_SECONDS = 3.0
"""How long its transaction stays open, and how long it rests after it."""
WATCHED_SECONDS = 0.02
NAME, LONG_NAME = "application", "application, long"
MIX = (("read", 40), ("list", 15), ("update", 25), ("insert", 12), ("delete", 8))
"""Statement → its share, in per cent."""

INSERT = (
    "INSERT INTO documents (id, tenant_id, original_name, filename, s3_bucket, s3_key, mimetype, size, uploaded_at)"
    " SELECT %(id)s, t.id, 'new.pdf', 'new.pdf', coalesce(t.aws_bucket_name, 'shared'), %(id)s, 'application/pdf', 1, now()"
    " FROM tenants t WHERE t.id = %(tenant)s"
)
WATCH = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)) FILTER (WHERE a.application_name LIKE 'application%%'), 0),
  count(DISTINCT a.pid) FILTER (WHERE a.application_name = 'rehouse'),
  coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)) FILTER (WHERE a.application_name = 'rehouse'), 0)
FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND NOT l.granted
WHERE a.datname = current_database()
"""


class Seen(NamedTuple):
    """What the watcher saw: the longest wait for a lock of the application, rehouse's connections, its longest transaction."""

    longest_wait_seconds: float
    connections: int
    longest_transaction_seconds: float


NOTHING = Seen(0.0, 0, 0.0)


@dataclass
class Felt:
    """What the application felt: each statement's seconds, and what the watcher saw."""

    began: float = field(default_factory=time.monotonic)
    seconds: list[float] = field(default_factory=list)
    seen: Seen = NOTHING

    def at(self, share: float) -> float:
        """Return the quantile, in seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Application:
    """Runs until it is closed; `felt` is what it felt since the last `begin`."""

    def __init__(self, url: str, tenants: int, documents: list[str]) -> None:
        self._url, self._tenants, self._documents = url, tenants, documents
        self._over = threading.Event()
        self.felt = Felt()
        works = [*(self._work for _ in range(CONNECTIONS)), self._long, self._watch]
        self._threads = [
            threading.Thread(target=work, args=(number,), daemon=True) for number, work in enumerate(works)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self) -> Felt:
        """Begin a phase; return what is felt in it, while it is felt."""
        self.felt = Felt()
        return self.felt

    def close(self) -> None:
        """End every connection."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        chance = random.Random(number)
        mine: list[str] = []
        names, shares = zip(*MIX, strict=True)
        with psycopg.connect(self._url, autocommit=True, application_name=NAME) as connection:
            while not self._over.is_set():
                (what,) = chance.choices(names, shares)
                began = time.monotonic()
                self._do(connection, what, chance, mine, number)
                self.felt.seconds.append(time.monotonic() - began)
                time.sleep(chance.uniform(0, 2 * REST_SECONDS))

    def _do(
        self, connection: psycopg.Connection, what: str, chance: random.Random, mine: list[str], number: int
    ) -> None:
        document, tenant = chance.choice(self._documents), chance.randint(1, self._tenants)
        if what == "read":
            connection.execute("SELECT s3_bucket, s3_key FROM documents WHERE id = %s", (document,)).fetchall()
        elif what == "list":
            query = "SELECT id, original_name FROM documents WHERE tenant_id = %s ORDER BY id LIMIT 50"
            connection.execute(query, (tenant,)).fetchall()
        elif what == "update":
            with connection.transaction():
                connection.execute("SELECT s3_bucket, s3_key FROM documents WHERE id = %s FOR UPDATE", (document,))
                connection.execute("UPDATE documents SET original_name = 'named.pdf' WHERE id = %s", (document,))
        elif what == "insert" or not mine:
            mine.append(f"new-{number}-{chance.getrandbits(60):x}")
            connection.execute(INSERT, {"id": mine[-1], "tenant": tenant})
        else:
            connection.execute("DELETE FROM documents WHERE id = %s", (mine.pop(chance.randrange(len(mine))),))

    def _long(self, number: int) -> None:
        """An import: a transaction that stays open for seconds, over and over."""
        with psycopg.connect(self._url, autocommit=True, application_name=LONG_NAME) as connection:
            while not self._over.is_set():
                with connection.transaction():
                    values = {"id": f"long-{number}-{time.monotonic_ns():x}", "tenant": 1}
                    connection.execute(INSERT, values)
                    self._over.wait(LONG_SECONDS)
                connection.execute("DELETE FROM documents WHERE id = %(id)s", values)
                self._over.wait(LONG_SECONDS)

    def _watch(self, _: int) -> None:
        with psycopg.connect(self._url, autocommit=True, application_name="watcher") as connection:
            while not self._over.wait(WATCHED_SECONDS):
                row = connection.execute(WATCH).fetchone()
                felt = self.felt
                if row:
                    felt.seen = Seen(*(max(float(new), float(old)) for new, old in zip(row, felt.seen, strict=True)))


@contextmanager
def beside(url: str, tenants: int, documents: list[str]) -> Iterator[Application]:
    """Run the application for a while."""
    application = Application(url, tenants, documents)
    try:
        yield application
    finally:
        application.close()
