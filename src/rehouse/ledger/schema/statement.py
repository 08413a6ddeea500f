"""One change of the schema, and how it is run: never so that the application feels a lock.

A polite statement asks for a table only when no transaction holds it that was there a moment before, waits for it no longer
than `lock_timeout` (whoever queues behind it waits no longer either), and tries again after growing pauses. One that must
stand alone (CREATE INDEX CONCURRENTLY, CALL) runs outside a transaction.
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

if TYPE_CHECKING:  # Alembic is slow to import, and whoever only asks what is missing does without it
    from alembic.runtime.migration import MigrationContext

POLITE_MS = 20
"""How long a polite statement may wait for a table: statements that queue behind it wait as long."""
_LONGEST_PAUSE_SECONDS = 2.0
_HOLDERS = """
SELECT l.virtualtransaction FROM pg_locks l
WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation = to_regclass(%s) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
"""


class Manner(Enum):
    """How a statement is run."""

    TOGETHER = "in a transaction of its own"
    POLITE = "in a transaction of its own, with lock_timeout and retries"
    ALONE = "outside a transaction"


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` is one or several SQL statements without placeholders; `change` says in words what it brings.

    `table`: the quoted name of the table that a polite one asks for.
    """

    change: str
    text: str
    manner: Manner = Manner.TOGETHER
    table: str | None = None

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

    lock_timeout_ms: int = POLITE_MS
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
        run_alone(connection, command, statement.change, patience)
    elif statement.manner is Manner.TOGETHER:
        with connection.transaction():
            connection.execute(command)
    else:
        run_politely(connection, lambda: connection.execute(command), statement.change, patience, table=statement.table)


def run_alone(connection: psycopg.Connection, command: sql.SQL, change: str, patience: Patience) -> None:
    """Run the statement outside a transaction. It holds nobody up, but CREATE INDEX CONCURRENTLY waits for every older transaction.

    Raises TryAgain if one does not end; an index that is invalid then is made anew by the next attempt.
    """
    connection.execute(sql.SQL("SET lock_timeout = {}").format(round(patience.seconds * 1000)))
    try:
        connection.execute(command)
    except errors.LockNotAvailable:
        raise _too_long(change) from None
    finally:
        if not connection.closed:
            connection.execute("RESET lock_timeout")


def run_politely(
    connection: psycopg.Connection,
    work: Callable[[], object],
    change: str,
    patience: Patience,
    *,
    table: str | None = None,
    keep: bool = True,
) -> None:
    """Do the work in a transaction with a short lock_timeout, again until its locks were free; `keep`: commit it."""
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
            raise _too_long(change)
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - jitter
        longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)


def is_held(connection: psycopg.Connection, table: str, seconds: float) -> bool:
    """Tell whether one transaction (of any session, prepared ones too) held the table both now and `seconds` later.

    Only pg_locks is read: when a transaction of another role began, pg_stat_activity does not tell everybody.
    """
    before = {row[0] for row in connection.execute(_HOLDERS, (table,))}
    if not before:
        return False
    time.sleep(seconds)
    return any(row[0] in before for row in connection.execute(_HOLDERS, (table,)))


def _too_long(change: str) -> TryAgain:
    return TryAgain(
        f"{change}: another transaction holds the table and does not end",
        hint="pg_stat_activity shows the oldest transaction: end it, then run the same command again",
    )
