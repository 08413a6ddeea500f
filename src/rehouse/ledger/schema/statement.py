"""One change of the schema, and how to run it without blocking the application.

A polite statement requests a table's lock only if no transaction has held the table for a while. It waits at most
`lock_timeout`, so that statements queued behind it wait no longer either, and retries after growing pauses. A statement that
cannot run in a transaction (CREATE INDEX CONCURRENTLY, CALL) runs outside one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors, sql

from rehouse.core.errors import TryAgain

if TYPE_CHECKING:  # Alembic is slow to import, and finding what is missing does not need it
    from alembic.runtime.migration import MigrationContext

POLITE_MS = 20
"""How long a polite statement may wait for a table, in milliseconds; statements queued behind it wait as long."""
_LONGEST_PAUSE_SECONDS = 2.0
_HOLDERS = """
SELECT l.virtualtransaction FROM pg_locks l
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation = to_regclass(%s) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
"""


class Manner(Enum):
    """How to run a statement."""

    TOGETHER = "in a transaction of its own"
    POLITE = "in a transaction of its own, with lock_timeout and retries"
    ALONE = "outside a transaction"


@dataclass(frozen=True, slots=True)
class Statement:
    """One or several SQL statements without placeholders.

    `change` describes them for people. `table`: the quoted name of the table that a polite statement locks.
    """

    change: str
    text: str
    manner: Manner = Manner.TOGETHER
    table: str | None = None

    def script(self, lock_timeout_ms: int) -> str:
        """Return the statement as a script for psql."""
        body = self.text.strip().rstrip(";") + ";"
        if self.manner is Manner.ALONE:
            return f"-- {self.change}\n{body}"
        limit = f"SET LOCAL lock_timeout = {lock_timeout_ms};\n" if self.manner is Manner.POLITE else ""
        return f"-- {self.change}\nBEGIN;\n{limit}{body}\nCOMMIT;"


@dataclass(frozen=True, slots=True)
class LockTimes:
    """How long one attempt may wait for a lock, and how long all attempts of a statement may take together."""

    lock_timeout_ms: int = POLITE_MS
    seconds: float = 300


def perform(context: MigrationContext, statement: Statement) -> None:
    """Run the statement in a revision, or print it if Alembic prints SQL.

    Raises as `run` does.
    """
    assert context.config is not None
    attributes = context.config.attributes
    if context.as_sql:
        context.impl.static_output(statement.script(attributes["patience"].lock_timeout_ms))
    else:
        run(attributes["connection"], statement, attributes["patience"])


def run(connection: psycopg.Connection, statement: Statement, patience: LockTimes) -> None:
    """Run the statement. Raises TryAgain if its lock was never free, else psycopg.Error."""
    command = sql.SQL(statement.text)
    if statement.manner is Manner.ALONE:
        run_outside_transaction(connection, command, statement.change, patience)
    elif statement.manner is Manner.TOGETHER:
        with connection.transaction():
            connection.execute(command)
    else:
        run_with_retries(
            connection, lambda: connection.execute(command), statement.change, patience, table=statement.table
        )


def run_outside_transaction(connection: psycopg.Connection, command: sql.SQL, change: str, patience: LockTimes) -> None:
    """Run the statement outside a transaction.

    CREATE INDEX CONCURRENTLY blocks nobody, but waits for every older transaction. Raises TryAgain if one does not end. The index
    is then invalid, and the next attempt creates it again.
    """
    connection.execute(sql.SQL("SET lock_timeout = {}").format(round(patience.seconds * 1000)))
    try:
        connection.execute(command)
    except errors.LockNotAvailable:
        raise _lock_timeout_error(change) from None
    finally:
        if not connection.closed:
            connection.execute("RESET lock_timeout")


def run_with_retries(
    connection: psycopg.Connection,
    work: Callable[[], object],
    change: str,
    patience: LockTimes,
    *,
    table: str | None = None,
    keep: bool = True,
) -> None:
    """Do the work in a transaction with a short lock_timeout, and retry until its locks are free.

    `keep`: commit it, else roll it back. Raises TryAgain if its locks were never free.
    """
    limit = sql.SQL("SET LOCAL lock_timeout = {}").format(patience.lock_timeout_ms)
    until = time.monotonic() + patience.seconds
    longest = 0.1
    while True:
        if table is None or not is_held(connection, table, patience.lock_timeout_ms / 1000):
            try:
                with connection.transaction(force_rollback=not keep):
                    connection.execute(limit)
                    work()
            except (errors.LockNotAvailable, errors.DeadlockDetected):
                pass
            else:
                return
        if time.monotonic() > until:
            raise _lock_timeout_error(change)
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter
        longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)


def is_held(connection: psycopg.Connection, table: str, seconds: float) -> bool:
    """Return whether the same transaction (of any session, even prepared) holds the table now and `seconds` later.

    It reads only pg_locks, because pg_stat_activity hides from most roles when transactions of other roles began.
    """
    before = {row[0] for row in connection.execute(_HOLDERS, (table,))}
    if not before:
        return False
    time.sleep(seconds)
    return any(row[0] in before for row in connection.execute(_HOLDERS, (table,)))


def _lock_timeout_error(change: str) -> TryAgain:
    return TryAgain(
        f"{change}: another transaction holds the table and does not end",
        hint="pg_stat_activity shows the oldest transaction: end it, then run the same command again",
        subject="database",
    )
