"""A pool of connections for the application's storage: opened at first use, and anew in every process after a fork.

These connections keep no state between transactions and set none, so a pooler in transaction mode may stand in between: no
prepared statement, no SET, no session lock. Row security stays on, because they belong to the application's own role.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Self

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from rehouse.config import Settings
from rehouse.core.errors import RehouseError, TryAgain
from rehouse.ledger.connection import LIVELINESS, address_of
from rehouse.ledger.database_url import libpq_url
from rehouse.ledger.encoding import adapt
from rehouse.ledger.faults import connection_error
from rehouse.ledger.password import ask_password

MOST_CONNECTIONS = 10
WAIT_SECONDS = 10.0


class StoragePool:
    """At most MOST_CONNECTIONS connections to the database in the settings, shared by all threads of a process.

    Raises ConfigurationError or DatabaseRefused for a database URL that is missing or malformed.
    """

    def __init__(self, settings: Settings) -> None:
        url = settings.require_database_url()
        self._place, self._url, self._command = address_of(url), libpq_url(url), settings.database_password_command
        self._pool: ConnectionPool[psycopg.Connection] | None = None
        self._opening = threading.Lock()
        _POOLS.add(self)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Lend an autocommit connection. Raises DatabaseRefused if none can be made, TryAgain if all are in use for too long."""
        pool = self._pool or self._open()
        try:
            connection = pool.getconn()
        except PoolTimeout:
            self._explain_timeout()
        try:
            yield connection
        finally:
            pool.putconn(connection)

    def close(self) -> None:
        """Close the connections. A later use opens new ones."""
        with self._opening:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def forget_after_fork(self) -> None:
        """Leave the parent's connections to the parent: they must be neither used nor closed here."""
        if self._pool is not None:
            _OF_THE_PARENT.append(self._pool)
        self._pool, self._opening = None, threading.Lock()

    def _open(self) -> ConnectionPool[psycopg.Connection]:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._url,
                    connection_class=self._connection_class(),
                    min_size=0,
                    max_size=MOST_CONNECTIONS,
                    timeout=WAIT_SECONDS,
                    check=ConnectionPool.check_connection,
                    name="rehouse storage",
                    open=True,
                )
            return self._pool

    def _connection_class(self) -> type[psycopg.Connection]:
        place, command = self._place, self._command

        class StorageConnection(psycopg.Connection):
            """A connection whose errors hold no password, also in the log of the pool."""

            @classmethod
            def connect(cls, conninfo: str = "", **options: Any) -> Self:
                """Connect; the password is asked for each time, because it may expire."""
                options = {**LIVELINESS, "application_name": "rehouse storage", "client_encoding": "UTF8", **options}
                try:
                    if command is not None:
                        options["password"] = ask_password(command)
                    made = super().connect(conninfo, autocommit=True, prepare_threshold=None, **options)
                except psycopg.Error as error:
                    raise psycopg.OperationalError(connection_error(error, place).message) from None
                except RehouseError as error:
                    raise psycopg.OperationalError(error.message) from None
                adapt(made)
                return made

        return StorageConnection

    def _explain_timeout(self) -> NoReturn:
        """Raise the reason why no connection came: try one alone, which the pool does without a word."""
        options: dict[str, Any] = {**LIVELINESS}
        if self._command is not None:
            options["password"] = ask_password(self._command)
        try:
            psycopg.connect(self._url, **options).close()
        except psycopg.Error as error:
            raise connection_error(error, self._place) from None
        raise TryAgain(
            f"no database connection was free within {WAIT_SECONDS:.0f} seconds: the storage has {MOST_CONNECTIONS}",
            hint="pass a larger pool of your own: TenantStorage.open(pool=…)",
            subject="database",
        )


_POOLS: weakref.WeakSet[StoragePool] = weakref.WeakSet()
_OF_THE_PARENT: list[ConnectionPool[psycopg.Connection]] = []
"""Pools that a fork left in the child. They are kept, since to free one stops its threads, which this process does not have."""


def _forget_after_fork() -> None:
    for pool in list(_POOLS):
        pool.forget_after_fork()


os.register_at_fork(after_in_child=_forget_after_fork)
