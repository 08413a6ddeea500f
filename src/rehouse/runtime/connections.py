"""On which connection a call works, and which transactions are the storage's to end.

Without a connection of the application each piece of work is a short transaction of its own, on a connection of the pool. On the
application's connection the storage begins transactions only where none is open, and never ends one that the application began.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import psycopg

from rehouse.core.errors import Refused
from rehouse.core.model import TenantId
from rehouse.ledger.application_rows import is_idle


class ConnectionPool(Protocol):
    """Where connections come from: psycopg_pool's ConnectionPool, or anything with this method."""

    def connection(self) -> AbstractContextManager[psycopg.Connection]:
        """Lend a connection for the block."""
        ...


class Entering(Protocol):
    """What the application runs at the start of each transaction, such as `SET LOCAL app.tenant_id` for row security."""

    def __call__(self, connection: psycopg.Connection, tenant_id: TenantId) -> object:
        """Prepare a transaction for the tenant."""
        ...


class Connections:
    """The connections of one handle: those of the pool, and the application's own if it passed one."""

    def __init__(
        self, pool: ConnectionPool | None, own: psycopg.Connection | None = None, entering: Entering | None = None
    ) -> None:
        self._pool, self.own, self._entering = pool, own, entering

    @property
    def is_within(self) -> bool:
        """Whether the application has a transaction open on its own connection: what is done there is undone with it."""
        return self.own is not None and not is_idle(self.own)

    @contextmanager
    def lend(self, tenant_id: TenantId | None, *, durably: bool = False) -> Iterator[psycopg.Connection]:
        """Lend the application's connection, or one of the pool; with `durably` not one with an open transaction.

        If `entering` is set, the block is a transaction for the tenant. Else each statement and each `transaction()` in it stands
        for itself. Nothing stays open that was not open before.
        """
        with self._lent(None if durably and self.is_within else self.own) as connection:
            is_open = not is_idle(connection)
            if is_open or (self._entering is None and connection.autocommit):
                yield connection
                return
            with connection.transaction():
                if self._entering is not None and tenant_id is not None:
                    self._entering(connection, tenant_id)
                yield connection

    @contextmanager
    def _lent(self, own: psycopg.Connection | None) -> Iterator[psycopg.Connection]:
        if own is not None:
            yield own
        elif self._pool is not None:
            with self._pool.connection() as connection:
                yield connection
        else:
            raise Refused(
                "the storage has no connection of its own, and needs one beside the transaction that is open",
                hint="set DATABASE_URL, or pass a pool: TenantStorage.open(pool=…)",
                subject="database",
            )
