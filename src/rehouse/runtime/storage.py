"""The storage of an application: `TenantStorage.open()` once in a process, `for_tenant()` for each piece of work.

There is no default tenant and no call without one. A process needs one storage: threads share it, and a child after a fork makes
connections of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self

import psycopg

from rehouse import config
from rehouse.config import Settings, name_setting
from rehouse.core.errors import BadUsage
from rehouse.core.model import TenantId
from rehouse.core.routing import Buckets, buckets_of
from rehouse.ledger.application_rows import ApplicationRows
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.pool import StoragePool
from rehouse.ledger.queries import Queries, load
from rehouse.ledger.uploads import Uploads
from rehouse.runtime.connections import ConnectionPool, Connections, Entering
from rehouse.runtime.handle import TenantHandle
from rehouse.runtime.scope import KnownTenant, Ledger, Scope
from rehouse.runtime.sweep import Sweep
from rehouse.runtime.values import OnCall, Swept
from rehouse.s3.objects.access import PerProcess
from rehouse.s3.objects.client import ObjectClient
from rehouse.s3.session import Session
from rehouse.s3.tenant_credentials import TenantCredentials

MOST_KNOWN = 10_000
"""How many names of tenants are remembered."""


class TenantStorage:
    """Where an application keeps the documents of its tenants.

    Safe for threads and forks. Use `open`, and `close` it at the end or use it as a context manager.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pool: ConnectionPool | None,
        on_call: OnCall | None,
        entering: Entering | None,
        clock: Callable[[], float],
    ) -> None:
        settings.require_shared_buckets()
        self.settings = settings
        self.on_call = on_call
        self._entering = entering
        self._own_pool = None if pool is not None or settings.database_url is None else StoragePool(settings)
        self._pool = pool or self._own_pool
        session = Session(settings)
        self.is_aws = session.is_aws
        self.objects = ObjectClient(session, clock=clock)
        self.roles = PerProcess(partial(_roles_of, session, settings.role_arn, clock)) if settings.role_arn else None
        self._clients: dict[tuple[TenantId, Buckets], ObjectClient] = {}
        self._prepared: tuple[Catalog, Queries] | None = None
        self._preparing = threading.Lock()
        self._known: dict[str | int, KnownTenant] = {}

    @classmethod
    def open(
        cls,
        settings: Settings | None = None,
        *,
        pool: ConnectionPool | None = None,
        on_call: OnCall | None = None,
        entering: Entering | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Return a storage. Nothing is asked of PostgreSQL or S3 until it is used.

        `settings`: from rehouse.toml and the environment if None. `pool`: your own pool, such as psycopg_pool's; without one
        the storage makes up to 10 connections to the database in the settings. `on_call` is called after each call.
        `entering(connection, tenant_id)` runs first in each transaction that the storage begins, for row security.
        Raises ConfigurationError for a setting that is missing or wrong.

        >>> storage = TenantStorage.open()                          # doctest: +SKIP
        >>> storage.for_tenant("acme").get("7f3a").name             # doctest: +SKIP
        'Q3 report.pdf'
        """
        return cls(settings or config.load(), pool=pool, on_call=on_call, entering=entering, clock=clock)

    def for_tenant(self, tenant: str | int, connection: psycopg.Connection | None = None) -> TenantHandle:
        """Return the handle of one tenant, named by its slug, its id, or `id:` and its id.

        With `connection`, an application's own, everything is done there, within its transaction if one is open. A tenant that was
        used in the last `routing_seconds` costs no query, any other one. Raises UnknownTenant if none or several tenants
        match, InactiveTenant if it is not active.
        """
        if tenant.__class__ is not str and (not isinstance(tenant, str | int) or isinstance(tenant, bool)):
            raise BadUsage(f"{tenant!r} names no tenant", hint="pass a slug or an id", subject=repr(tenant))
        scope = Scope(self, tenant, Connections(self._pool, connection, self._entering))
        scope.tenant()
        return TenantHandle(scope)

    def sweep(self, *, dry_run: bool = False) -> Swept:
        """Remove what was never confirmed, and the objects of deleted and overwritten documents that are still there.

        Call it every hour. Two sweeps at once do no harm. With `dry_run` nothing is removed. Raises DatabaseRefused or TryAgain;
        what S3 refuses is named in the result.
        """
        sweep = Sweep(self, Connections(self._pool))
        return sweep.look() if dry_run else sweep.run()

    def close(self) -> None:
        """Close the connections that the storage has made; a pool of yours stays open."""
        self.objects.close()
        if self._own_pool is not None:
            self._own_pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def ledger(self, connection: psycopg.Connection) -> Ledger:
        """Return the statements over a connection; the catalog is read once, at first use."""
        catalog, queries = self._prepared or self._prepare(connection)
        rows = ApplicationRows(connection, catalog, queries)
        shared, bucket = self.settings.require_shared_buckets(), self.settings.remaining_bucket
        return Ledger(rows, Uploads(rows, shared=shared, upload_bucket=bucket))

    def client_of(self, known: KnownTenant) -> ObjectClient:
        """Return a client for objects that has credentials of a tenant where the bucket is the tenant's own."""
        return self._client_of(known.row.id, known.buckets)

    def sweeping_client(self, tenant_id: TenantId, bucket: str) -> ObjectClient:
        """Return a client that removes what the ledger has recorded for a tenant in a bucket."""
        if self.roles is None:
            return self.objects
        return self._client_of(tenant_id, buckets_of(None, [bucket], self.settings.require_shared_buckets()))

    def _client_of(self, tenant_id: TenantId, buckets: Buckets) -> ObjectClient:
        assert self.roles is not None
        found = self._clients.get((tenant_id, buckets))
        if found is None:
            if len(self._clients) >= MOST_KNOWN:
                self._clients = {}
            found = self.objects.acting_for(tenant_id, self.roles, own=buckets.own, shared=buckets.shared)
            self._clients[tenant_id, buckets] = found
        return found

    @property
    def longest_key(self) -> int:
        """The most characters that a key may have."""
        assert self._prepared is not None
        return self._prepared[0].longest_key

    def recall(self, named: str | int) -> KnownTenant | None:
        """Return what is remembered of a tenant, None if that is nothing, or too old."""
        found = self._known.get(named)
        is_fresh = found is not None and time.monotonic() < found.until
        return found if is_fresh else None

    def learn(self, named: str | int, rows: ApplicationRows) -> KnownTenant:
        """Read a tenant's row and remember it. Raises UnknownTenant."""
        begun = time.monotonic()
        row = rows.read_tenant(named)
        shared, dropped = self.settings.require_shared_buckets(), self.settings.dropped_buckets
        buckets = buckets_of(row.home, row.others, shared, dropped)
        known = KnownTenant(row, buckets, begun + self.settings.routing_seconds)
        if len(self._known) >= MOST_KNOWN:
            self._known = {}
        self._known[named] = known
        return known

    def _prepare(self, connection: psycopg.Connection) -> tuple[Catalog, Queries]:
        with self._preparing:
            if self._prepared is None:
                name = partial(name_setting, self.settings)
                catalog = read(connection, self.settings.mapping, name, as_application=True)
                self._prepared = catalog, load(catalog)
            return self._prepared


def _roles_of(session: Session, role_arn: str, clock: Callable[[], float]) -> TenantCredentials:
    return TenantCredentials(session.fresh(), role_arn, clock=clock)
