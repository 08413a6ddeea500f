"""Locks on tenants and runs: session advisory locks, all on one separate connection per process.

A lock lives as long as its session, so PostgreSQL releases it when the process dies. A lost session holds no locks:
`still_held` detects that, and rehouse writes nothing until `reacquire` has every lock again.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import cast

import psycopg

from rehouse.core.errors import Locked
from rehouse.core.model import TenantId
from rehouse.ledger.connection import connect
from rehouse.ledger.faults import translate_error

_WAIT = "wait until they are done: `rehouse status --watch` shows how far they are"
_TRY = "SELECT pg_try_advisory_lock(%s)"
_RELEASE = "SELECT pg_advisory_unlock(%s)"
_MINE = """
SELECT count(*) FROM pg_locks l
JOIN unnest(%s::bigint[]) k(key) ON ((l.classid::bigint << 32) | l.objid::bigint) = k.key
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND l.pid = pg_backend_pid()
"""
_HOLDER = """
SELECT a.usename, a.application_name, host(a.client_addr), to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = %s
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def lock_key(kind: str, subject: object) -> int:
    """Return the stable signed 64-bit key of a lock, such as `lock_key("tenant", 7)`."""
    digest = hashlib.sha256(f"rehouse:{kind}:{subject}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Locks:
    """The locks of one process, for several threads.

    `close`, or leaving the `with` block, releases all.
    """

    def __init__(self, url: str, *, password_command: str | None = None) -> None:
        self._connect = partial(connect, url, password_command=password_command, application_name="rehouse lock")
        self._guard = threading.RLock()
        self._held: dict[int, str] = {}
        self._connection = self._connect()

    def acquire(self, tenant_id: TenantId, name: str | None = None) -> None:
        """Take the tenant's lock.

        Do nothing if this process has it. `name` (the slug) is for messages. Raises Locked immediately if another operator
        has it.
        """
        self._take(lock_key("tenant", tenant_id), name or f"tenant {tenant_id}")

    def release(self, tenant_id: TenantId) -> None:
        """Release the tenant's lock; a lost session has released it already."""
        self._release_key(lock_key("tenant", tenant_id))

    def hold_run(self, run_id: object) -> None:
        """Mark the run as alive for as long as this process lives."""
        self._take(lock_key("run", run_id), f"run {run_id}")

    @contextmanager
    def hold(self, tenant_id: TenantId, name: str | None = None) -> Iterator[None]:
        """Hold the tenant's lock during the block; the outermost block releases it.

        Raises Locked immediately if another operator has it.
        """
        with self._guard:
            is_outermost = lock_key("tenant", tenant_id) not in self._held
            self.acquire(tenant_id, name)
        try:
            yield
        finally:
            if is_outermost:
                self.release(tenant_id)

    @contextmanager
    def hold_run_of(self, run_id: object) -> Iterator[None]:
        """Mark the run as alive during the block."""
        self.hold_run(run_id)
        try:
            yield
        finally:
            self._release_key(lock_key("run", run_id))

    def is_run_alive(self, run_id: object) -> bool:
        """Return whether any process, including this one, still works on the run."""
        with self._guard:
            return self._holder(lock_key("run", run_id)) is not None

    def is_still_held(self) -> bool:
        """Return whether the session still holds every lock taken.

        False if the session is lost.
        """
        with self._guard:
            try:
                row = self._connection.execute(_MINE, (list(self._held),)).fetchone()
            except psycopg.Error:
                return False
            return row is not None and row[0] == len(self._held)

    def reacquire(self) -> None:
        """Take every lock again on a new connection.

        Raises TryAgain if another operator has taken one meanwhile; then this process holds no lock. Raises
        DatabaseRefused if it cannot connect.
        """
        with self._guard:
            wanted, self._held = self._held, {}
            try:
                self._connection.close()
                self._connection = self._connect()
                for key, name in wanted.items():
                    self._take(key, name)
            except BaseException:
                self.close()
                self._held = wanted  # so that `still_held` returns False
                raise

    def keep(self) -> None:
        """Take the locks again if they were lost.

        Raises as `reacquire` does, also in every later call.
        """
        with self._guard:
            if not self.is_still_held():
                self.reacquire()

    def close(self) -> None:
        """Release every lock before returning, so that a command that follows immediately does not meet them."""
        with self._guard, self._connection:
            self._held = {}
            if not self._connection.closed:
                with suppress(psycopg.OperationalError):  # a lost session holds nothing
                    self._connection.execute("SELECT pg_advisory_unlock_all()")

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, key: int, name: str) -> None:
        with self._guard:
            if key in self._held:
                return
            row = self._ask(_TRY, key)
            if not (row and row[0]):
                holder = self._holder(key) or ""
                raise Locked(f"another operator is working on {name}{holder}", hint=_WAIT, subject=name)
            self._held[key] = name

    def _release_key(self, key: int) -> None:
        with self._guard:
            if self._held.pop(key, None) is not None and not self._connection.closed:
                try:
                    self._connection.execute(_RELEASE, (key,))
                except psycopg.OperationalError:
                    self._connection.close()

    def _holder(self, key: int) -> str | None:
        row = self._ask(_HOLDER, key)
        if row is None:
            return None
        user, application, address, since = cast("tuple[str | None, ...]", row)
        parts = [user, application, address and f"from {address}", since and f"since {since} UTC"]
        return f" ({', '.join(part for part in parts if part)})"

    def _ask(self, question: str, key: int) -> tuple[object, ...] | None:
        try:
            return self._connection.execute(question, (key,)).fetchone()
        except psycopg.Error as error:
            raise translate_error(error) from error
