"""One change of the schema, and how it is run: never so that the application feels a lock.

A polite statement waits for a lock no longer than `lock_timeout` (whoever queues behind it waits no longer either) and
tries again after a random pause. One that must stand alone (CREATE INDEX CONCURRENTLY, CALL) runs outside a transaction.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors, sql

from rehouse.core.errors import TryAgain

if TYPE_CHECKING:  # Alembic is slow to import, and whoever only asks what is missing does without it
    from alembic.runtime.migration import MigrationContext

_LONGEST_PAUSE_SECONDS = 2.0


class Manner(Enum):
    """How a statement is run."""

    TOGETHER = "in a transaction of its own"
    POLITE = "in a transaction of its own, with lock_timeout and retries"
    ALONE = "outside a transaction"


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` is one or several SQL statements without placeholders; `change` says in words what it brings."""

    change: str
    text: str
    manner: Manner = Manner.TOGETHER

    def script(self, lock_timeout_ms: int) -> str:
        """Return it as a DBA would run it with psql."""
        body = self.text.strip().rstrip(";") + ";"
        if self.manner is Manner.ALONE:
            return f"-- {self.change}\n{body}"
        limit = f"SET LOCAL lock_timeout = {lock_timeout_ms};\n" if self.manner is Manner.POLITE else ""
        return f"-- {self.change}\nBEGIN;\n{limit}{body}\nCOMMIT;"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one attempt may wait for a lock, and how long all attempts of a statement together."""

    lock_timeout_ms: int = 200
    seconds: float = 300


def perform(context: MigrationContext, statement: Statement) -> None:
    """Run the statement within a revision, or print it where Alembic writes SQL. Raises TryAgain, psycopg.Error."""
    assert context.config is not None
    attributes = context.config.attributes
    if context.as_sql:
        context.impl.static_output(statement.script(attributes["patience"].lock_timeout_ms))
    else:
        run(attributes["connection"], statement, attributes["patience"])


def run(connection: psycopg.Connection, statement: Statement, patience: Patience) -> None:
    """Run the statement. Raises TryAgain if its lock was never free; psycopg.Error."""
    command = sql.SQL(statement.text)
    if statement.manner is Manner.ALONE:
        connection.execute(command)
    elif statement.manner is Manner.TOGETHER:
        with connection.transaction():
            connection.execute(command)
    else:
        _run_politely(connection, command, statement.change, patience)


def _run_politely(connection: psycopg.Connection, command: sql.SQL, change: str, patience: Patience) -> None:
    limit = sql.SQL("SET LOCAL lock_timeout = {}").format(patience.lock_timeout_ms)
    until = time.monotonic() + patience.seconds
    longest = 0.1
    while True:
        try:
            with connection.transaction():
                connection.execute(limit)
                connection.execute(command)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            if time.monotonic() > until:
                raise TryAgain(
                    f"{change}: another transaction holds the table and does not end",
                    hint="pg_stat_activity shows the oldest transaction: end it, then run the same command again",
                ) from None
        else:
            return
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter
        longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)
