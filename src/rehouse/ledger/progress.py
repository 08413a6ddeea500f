"""The table `s3_migration_progress`: a command writes its counts into it while it runs, and `status --watch` reads them.

The writer has its own connection with short time limits, so it never waits long, and a failed statement does not affect the run.
The connection is a spare one, which is closed if another connection of the command needs its place. Its session holds an advisory
lock, which shows that the command is alive.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple, Self

import psycopg

from rehouse.config import Settings
from rehouse.core.errors import DatabaseRefused, TryAgain
from rehouse.core.model import TenantId
from rehouse.core.watching import Counts, PublishedRow
from rehouse.ledger.catalog import Catalog
from rehouse.ledger.connection import connect_with
from rehouse.ledger.faults import translate_errors
from rehouse.ledger.ledger import Ledger
from rehouse.ledger.lock import lock_key
from rehouse.ledger.queries import Queries, load
from rehouse.ledger.rows import plain_id, rows_of
from rehouse.ledger.spare_connections import forget_spare, opening_spare, register_spare

TABLE = "s3_migration_progress"
APPLICATION_NAME = "rehouse progress"
_LIMITS = "SET statement_timeout = 2000; SET lock_timeout = 500; SET synchronous_commit = off"


class NotPublished(DatabaseRefused):
    """The role cannot publish, or not into this ledger, so a retry would not help."""


class RecentEvent(NamedTuple):
    """A line of the history."""

    id: int
    at: datetime
    actor: str
    tenant_id: TenantId | None
    run_id: str | None
    event: str
    from_phase: str | None
    to_phase: str | None
    reason: str | None


class Publication:
    """Publishes the counts of one command. Every method may raise TryAgain, DatabaseRefused or Halt."""

    def __init__(self, connection: psycopg.Connection, queries: Queries, run_id: str, command: str) -> None:
        self._connection = connection
        self._in_use = threading.Lock()
        self._queries = queries
        self._values = {
            "run_id": run_id,
            "lock_key": lock_key("progress", run_id),
            "command": command,
            "host": socket.gethostname(),
        }
        self.is_held = False

    @classmethod
    def open(cls, settings: Settings, catalog: Catalog, *, run_id: str, command: str) -> Self:
        """Connect, take the lock, and delete the rows of commands that were killed.

        Raises NotPublished if the table is missing or this role may not write it.
        """
        if TABLE not in catalog.own:
            raise NotPublished(f"the ledger has no table {TABLE}", hint="`rehouse init` adds it")
        with opening_spare():
            connection = connect_with(settings, application_name=APPLICATION_NAME, is_spare=True)
            try:
                with translate_errors():
                    connection.execute(_LIMITS)
                    made = cls(connection, load(catalog), run_id, command)
                    made._begin(catalog.own[TABLE].identifier.as_string(connection))
            except BaseException:
                connection.close()
                raise
            register_spare(made._give_place)
        return made

    def _begin(self, table: str) -> None:
        [row] = rows_of(self._connection, self._queries["may_publish"], {"name": table})
        if not row.may_publish:
            raise NotPublished(
                f"the role {row.role} may not write {TABLE}",
                hint=f"to show its commands in `status --watch`: GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {row.role};",
            )
        self._hold()
        self._connection.execute(self._queries["forget_dead_progress"], self._values)

    def _hold(self) -> None:
        [row] = rows_of(self._connection, self._queries["publishing_begins"], self._values)
        self.is_held = row.is_held

    def put(self, changed: Sequence[Counts], ended: Collection[str], *, elapsed: float) -> None:
        """Write the rows that have changed and delete those of the tenants that have ended, in one statement.

        `elapsed`: seconds since the command began.
        """
        columns = {
            "subjects": [each.subject for each in changed],
            "steps": [each.step for each in changed],
            "messages": [each.message for each in changed],
            "tenants_done": [each.tenants_done for each in changed],
            "tenants": [each.tenants for each in changed],
            "documents": [each.documents for each in changed],
            "documents_total": [each.documents_total for each in changed],
            "documents_failed": [each.documents_failed for each in changed],
            "bytes_copied": [each.bytes_copied for each in changed],
        }
        with self._in_use, translate_errors():
            if self._connection.closed:
                raise TryAgain(
                    "another connection of this command needed its place",
                    hint="allow the role one more connection",
                    subject="database",
                )
            if not self.is_held:  # a lost session of ours may have held it until now
                self._hold()
            values = {**self._values, **columns, "ended": list(ended), "elapsed": elapsed}
            self._connection.execute(self._queries["publish_progress"], values)

    def close(self) -> None:
        """Delete the rows and release the lock."""
        forget_spare(self._give_place)
        with self._in_use, suppress(psycopg.Error), self._connection:  # the next command deletes what stays
            self._connection.execute(self._queries["forget_progress"], self._values)

    def give_up(self) -> None:
        """Only close the connection, after a statement has failed."""
        forget_spare(self._give_place)
        self._connection.close()

    def _give_place(self) -> None:
        with self._in_use:
            self._connection.close()


def require_table(ledger: Ledger) -> None:
    """Raise DatabaseRefused if there is no ledger or no table of progress in it, or if this role may not read the table."""
    if ledger.catalog.version is None:
        raise DatabaseRefused(
            "there is no ledger in this database yet, so no command can be watched",
            hint="run `rehouse init` to create it; the first migrate does so too",
        )
    if TABLE not in ledger.catalog.own:
        raise DatabaseRefused(
            f"the ledger has no table {TABLE}, because an earlier version of rehouse made it",
            hint="run `rehouse init` to add it; the next migrate does so too",
            subject=TABLE,
        )
    row = ledger.row("may_read", names=[ledger.catalog.own[name].identifier.as_string(None) for name in _READ])
    if row is not None:
        raise DatabaseRefused(
            f"the role {row.role} may not read {row.name}",
            hint=f"connect as a role that may read the ledger, or: GRANT SELECT ON {row.name} TO {row.role};",
            subject=row.name,
        )


_READ = (TABLE, "s3_migrations", "s3_migration_events")


def read_published(ledger: Ledger) -> list[PublishedRow]:
    """Return what all commands have published, whether they are alive or not."""
    return [
        PublishedRow(
            row.run_id,
            Counts(
                row.subject,
                row.step,
                row.message,
                row.tenants_done,
                row.tenants,
                row.documents or 0,
                row.documents_total,
                row.documents_failed or 0,
                row.bytes_copied or 0,
            ),
            row.command or "",
            row.host or "",
            row.elapsed or 0.0,
            row.age,
            row.is_held,
        )
        for row in ledger.rows("published")
    ]


def phases(ledger: Ledger, tenant_ids: Collection[TenantId]) -> dict[TenantId, str | None]:
    """Return the phase of the migration of each of these tenants that has one."""
    wanted = [str(tenant_id) for tenant_id in tenant_ids]
    return {plain_id(row.tenant_id): row.phase for row in ledger.rows("phases", tenant_ids=wanted)} if wanted else {}


def latest_events(ledger: Ledger, limit: int) -> list[RecentEvent]:
    """Return the last lines of the history, newest first."""
    found = [RecentEvent(**row._asdict()) for row in ledger.rows("latest_events", limit=limit)]
    return [each._replace(tenant_id=None if each.tenant_id is None else plain_id(each.tenant_id)) for each in found]


def database_time(ledger: Ledger) -> datetime:
    """Return the database's clock."""
    at: datetime = ledger.rows("database_time")[0].at
    return at
