"""The Ledger: a method for each durable change of a migration, with its transaction.

docs/architecture.md lists the statements that write the application's two tables, and a test checks the list. Queries name our
own tables without a schema. The session's search path leads to the documents' schema. Commands that must not write use
temporary tables with the same names instead.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import NamedTuple, Self, TypeVar
from uuid import uuid4

import psycopg
from psycopg import sql

from rehouse.config import Settings, name_setting
from rehouse.core.addressing import addresses, choose
from rehouse.core.errors import DatabaseRefused, Halt, Refused
from rehouse.core.lifecycle import Event, Phase, Status, after
from rehouse.core.model import Migration, Tenant
from rehouse.core.saved_plan import Database
from rehouse.core.tenant_state import tenant_state
from rehouse.ledger.belonging import refuse_other_mapping
from rehouse.ledger.catalog import Catalog, read
from rehouse.ledger.connection import connect_with, translate_error
from rehouse.ledger.copies import Documents
from rehouse.ledger.dropped_buckets import add_dropped, read_dropped_buckets
from rehouse.ledger.encoding import holder
from rehouse.ledger.inventory import Inventory
from rehouse.ledger.overview import Overview
from rehouse.ledger.queries import Queries, load
from rehouse.ledger.rows import Row, plain_id, rows_of
from rehouse.ledger.run_scope import RunScope
from rehouse.ledger.schema import is_current

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Room = TypeVar("Room", bound=RunScope)
PASSING = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,  # the row moved to another partition meanwhile
)
PATIENCE = 50
"""How often work that met a lock (200 ms) or a deadlock is retried before the run fails."""


class PastEvent(NamedTuple):
    """A line of a tenant's history."""

    at: datetime
    actor: str
    event: str
    from_phase: str | None
    to_phase: str | None
    reason: str | None


class Closing(NamedTuple):
    """What a run records at its end: counts of documents, bytes copied, and whether an error ended it."""

    status: Status
    error_message: str | None
    migrated: int
    total: int
    skipped: int
    failed: int
    accepted: int
    waiting: int
    at_home: int
    bytes_copied: int
    run_failed: bool


class Ledger:
    """The ledger in PostgreSQL, over one connection.

    With `writes=False` nothing outlives the session.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        catalog: Catalog,
        settings: Settings,
        *,
        writes: bool,
        run_id: str | None,
        may_be_older: bool = False,
    ) -> None:
        refuse_other_mapping(catalog, settings)
        self.connection = connection
        self.catalog = catalog
        self.run_id = run_id or str(uuid4())
        self.queries: Queries = load(catalog)
        self.holds = holder(connection)
        self._default_bucket = settings.require_shared_buckets()[0]
        connection.execute(sql.SQL("SET search_path = {}, public").format(sql.Identifier(catalog.schema)))
        connection.execute(sql.SQL("SET lock_timeout = {}").format(settings.lock_timeout_ms))
        if not writes:
            if catalog.version and not may_be_older and not is_current(catalog):
                raise _older_ledger_error(catalog)
            connection.execute(self.queries["make_temporary_tables"])
            if not is_current(catalog):
                connection.execute(self.queries["make_empty_ledger"])

    @classmethod
    def open(cls, settings: Settings, *, writes: bool, run_id: str | None = None, may_be_older: bool = False) -> Self:
        """Connect and read the catalog. Raises DatabaseRefused if PostgreSQL cannot be used.

        Connections with the same `run_id` share a run and its inventory. A read-only command is refused if an earlier version made
        the ledger, unless `may_be_older`: then the ledger reads as empty.
        """
        connection = connect_with(settings)
        try:
            catalog = read(connection, settings.mapping, partial(name_setting, settings))
            if not settings.shared_bucket:
                settings = add_dropped(settings, read_dropped_buckets(connection, catalog))
            return cls(connection, catalog, settings, writes=writes, run_id=run_id, may_be_older=may_be_older)
        except psycopg.Error as error:
            connection.close()
            raise translate_error(error) from error
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def database(self) -> Database:
        """Return which database this is."""
        [found] = self.rows("database")
        identifier = self.rows("system_identifier")[0].identifier if found.is_identifiable else None
        return Database(found.name, identifier)

    def tenants(self) -> list[Tenant]:
        """Return every tenant in order of slug, whatever the case."""
        rows = self.rows("tenants")
        called = addresses({plain_id(row.tenant_id): row.slug for row in rows})
        return [_tenant(row, called[plain_id(row.tenant_id)]) for row in rows]

    def tenant(self, named: str) -> Tenant:
        """Return the tenant that a command names.

        Raises Refused if none or several tenants match.
        """
        return choose(named, self.tenants())

    def reread(self, tenant: Tenant) -> Tenant:
        """Return the tenant from its present row. Raises Halt if the row was deleted."""
        row = self.row("tenant", tenant_id=tenant.id)
        if row is None:
            raise Halt(
                f"the tenant {tenant.slug} (id {tenant.id}) was deleted meanwhile",
                hint="`rehouse status` lists the tenants",
                subject=tenant.slug,
            )
        return replace(tenant, name=row.name or tenant.slug, home=row.home, is_active=bool(row.is_active))

    def addresses_of(self, tenant_ids: Iterable[object]) -> list[str]:
        """Return the addresses of these tenants, in alphabetical order."""
        wanted = {str(tenant_id) for tenant_id in tenant_ids}
        return sorted(tenant.slug for tenant in self.tenants() if str(tenant.id) in wanted) if wanted else []

    def migration(self, tenant: Tenant) -> Migration | None:
        """Return the tenant's migration, or None if it has none."""
        row = self.row("migration", tenant_id=tenant.id)
        return _migration(row) if row else None

    def find_others_at(self, home_bucket: str, tenant: Tenant) -> list[str]:
        """Return the addresses of the other tenants that have or reserved this bucket."""
        rows = self.rows("others_at", tenant_id=tenant.id, home_bucket=home_bucket)
        return self.addresses_of(row.tenant_id for row in rows)

    def begin_run(self, tenant: Tenant, home_bucket: str) -> Migration:
        """Give the tenant's migration to this run.

        Reserve `home_bucket` unless a name is reserved already.
        """
        values = {
            "tenant_id": tenant.id,
            "shared_bucket": self._default_bucket,
            "home_bucket": home_bucket,
            "run_id": self.run_id,
        }
        return self.run_with_retries(lambda: _migration(self._one("begin_run", values)))

    def recent_homes(self, seconds: float) -> list[tuple[str, float]]:
        """Return (bucket, age in seconds) of the homes that rehouse created less than `seconds` ago."""
        return [(row.home_bucket, row.age) for row in self.rows("recent_homes", seconds=seconds)]

    def rename_home(self, migration: Migration, home_bucket: str) -> Migration:
        """Reserve another bucket name before the bucket is created, because another account has the first one."""
        values = {"tenant_id": migration.tenant_id, "run_id": self.run_id, "home_bucket": home_bucket}
        self._one("rename_home", values)
        return replace(migration, home_bucket=home_bucket)

    def advance(self, migration: Migration, event: Event, reason: str | None = None) -> Migration:
        """Move a migration to its next phase (core.lifecycle) and record the event, in one statement.

        Raises Halt if another operator moved it first.
        """
        to = after(migration.phase, event)
        values = {
            "tenant_id": migration.tenant_id,
            "run_id": self.run_id,
            "event": event,
            "from_phase": migration.phase,
            "to_phase": to,
            "reason": reason,
        }
        self.run_with_retries(lambda: self._one("advance", values))
        log.debug("%s: %s: %s to %s", migration.tenant_id, event, migration.phase, to)
        return replace(migration, phase=to)

    def switch_home(self, migration: Migration, tenant: Tenant) -> Migration:
        """Switch the tenant's bucket to its new home and move to cut_over, in one transaction."""
        values = {
            "tenant_id": tenant.id,
            "run_id": self.run_id,
            "home_bucket": migration.home_bucket,
            "previous_home": tenant.home,
        }

        def switch() -> Migration:
            with self.connection.transaction():
                self._one("fence", values)
                self._one("switch_home", values)
                self.connection.execute(self.queries["remember_previous_home"], values)
                return self.advance(migration, Event.HOME_SWITCHED)

        return replace(self.run_with_retries(switch), previous_home=tenant.home)

    def close_run(self, migration: Migration, closing: Closing) -> None:
        """Record the end of a run."""
        values = {"tenant_id": migration.tenant_id, "run_id": self.run_id, **closing._asdict()}
        self.run_with_retries(lambda: self._one("close_run", values))

    def accept(self, migration: Migration, document_id: str, reason: str) -> None:
        """Accept that a document stays where it is, with the reason in the history (once)."""
        values = {
            "tenant_id": migration.tenant_id,
            "run_id": self.run_id,
            "home_bucket": migration.home_bucket,
            "default_bucket": self._default_bucket,
            "document_id": document_id,
        }
        event = {**values, "event": "document_accepted", "reason": f"{document_id}: {reason}"}
        with self.connection.transaction():
            self._one("fence", values)
            row = self.row("accept_document", **values)
            if row is None:
                raise Refused(
                    f"the document {document_id!r} of this tenant cannot be accepted",
                    hint="it is not there, has no key, or is at home already; `rehouse status SLUG` lists the outstanding ones",
                    subject=document_id,
                )
            if not row.was_accepted:
                self.connection.execute(self.queries["record_event"], event)

    def documents(self, migration: Migration) -> Documents:
        """Return the documents of this migration."""
        return self.of(migration, Documents)

    def of(self, migration: Migration, kind: type[Room], *, run_id: str | None = None) -> Room:
        """Return an object of `kind` for a migration, such as Documents.

        It writes for this run, or for `run_id`: a command that begins no run, but holds the tenant's lock, writes for the last one.
        """
        run_id = run_id or self.run_id
        return kind(self.connection, self.queries, migration, run_id=run_id, default_bucket=self._default_bucket)

    def inventory(self) -> Inventory:
        """Return this run's inventory."""
        return Inventory(self.connection, self.queries, self.run_id, self._default_bucket)

    def overview(self) -> list[Overview]:
        """Return a line for every tenant, in the order of `tenants`."""
        called = {tenant.id: tenant.slug for tenant in self.tenants()}
        return [
            _overview(row, called[plain_id(row.tenant_id)])
            for row in self.rows("overview")
            if plain_id(row.tenant_id) in called  # a tenant may have been added between the two queries
        ]

    def history(self, tenant: Tenant) -> list[PastEvent]:
        """Return a tenant's events, oldest first."""
        return [PastEvent(**row._asdict()) for row in self.rows("history", tenant_id=tenant.id)]

    def failure_codes(self) -> frozenset[str]:
        """Return the codes that documents of any tenant carry."""
        return frozenset(row.code for row in self.rows("failure_codes"))

    def documents_without_tenant(self) -> int:
        """Return how many documents have no tenant."""
        [found] = self.rows("documents_without_tenant")
        return int(found.count)

    def documents_of_missing_tenants(self) -> tuple[int, int]:
        """Return how many documents name a tenant that does not exist, and how many such tenants they name."""
        [found] = self.rows("documents_of_missing_tenants")
        return int(found.rows), int(found.tenants)

    def run_with_retries(self, work: Callable[[], Result]) -> Result:
        """Run a transaction.

        If it meets a lock or a deadlock, run it again after a random pause. Inside another transaction the work runs only once:
        an error ends the outer transaction too, and its owner retries it.
        """
        is_within = self.connection.info.transaction_status is not psycopg.pq.TransactionStatus.IDLE
        for _ in range(0 if is_within else PATIENCE):
            try:
                return work()
            except PASSING:
                time.sleep(random.uniform(0.02, 0.2))  # noqa: S311 (a pause, not a secret)
        return work()

    def rows(self, name: str, **values: object) -> list[Row]:
        """Return the rows of a named query."""
        return rows_of(self.connection, self.queries[name], values)

    def row(self, name: str, **values: object) -> Row | None:
        """Return the first row of a named query, or None."""
        return next(iter(self.rows(name, **values)), None)

    def _one(self, name: str, values: Mapping[str, object]) -> Row:
        row = self.row(name, **values)
        if row is None:
            raise Halt(
                f"{name.replace('_', ' ')}: what this run has read was changed meanwhile",
                hint="another operator or the application did that; `rehouse status` shows what was done",
            )
        return row


def _older_ledger_error(catalog: Catalog) -> DatabaseRefused:
    return DatabaseRefused(
        f"the ledger in the schema {catalog.schema} was made by an earlier rehouse, or is not complete (version {catalog.version})",
        hint="`rehouse init` upgrades it, and so does `rehouse migrate` without --plan",
    )


def _tenant(row: Row, slug: str) -> Tenant:
    return Tenant(plain_id(row.tenant_id), slug, row.name or slug, row.home, bool(row.is_active), row.slug)


def _overview(row: Row, slug: str) -> Overview:
    columns = {**row._asdict(), "tenant_id": plain_id(row.tenant_id), "name": row.name or slug}
    return Overview(slug=slug, **columns)


def _migration(row: Row) -> Migration:
    phase, status = Phase(row.phase or Phase.PLANNED), Status(row.status)
    return Migration(
        tenant_id=plain_id(row.tenant_id),
        run_id=str(row.run_id),
        phase=phase,
        home_bucket=row.home_bucket,
        previous_home=row.previous_home,
        status=status,
        was_live=row.was_live,
        state=tenant_state(status, phase, documents=row.documents_failed or 0, run_failed=row.run_failed),
    )
