"""The ledger's schema: bring it up to date with Alembic, print it for a DBA, or check that it is complete.

The statements that run and that are printed are the same. They are made from the catalog and add only what is missing. One
session works at a time. The others poll for its lock, because CREATE INDEX CONCURRENTLY would wait for a session that waits in
a query.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import psycopg
from psycopg import errors, sql

from rehouse.core.errors import DatabaseRefused, TryAgain
from rehouse.ledger.catalog import VERSIONS, Catalog, read
from rehouse.ledger.faults import translate_error
from rehouse.ledger.schema import tables, usage
from rehouse.ledger.schema.first import statements
from rehouse.ledger.schema.statement import POLITE_MS, LockTimes, run, run_with_retries
from rehouse.ledger.schema.tables import OWN

HEAD = VERSIONS[-1]
"""The newest revision. It adds everything that is missing, so earlier revisions do nothing."""

_UNFIT = (
    errors.DataError,
    errors.ProgrammingError,
    errors.IntegrityError,
    errors.NotSupportedError,
    errors.InternalError,
)
_ONE_INIT = 7_304_651_893_271_004_112
_HEADER = """-- What rehouse needs in this database; only what is missing is here. Run it with `psql -v ON_ERROR_STOP=1 -f`,
-- not in one transaction. If it stops (as a rule at lock_timeout), ask for it again: it then holds the rest.
SET statement_timeout = 0;
SET lock_timeout = 0;
SET default_transaction_isolation = 'read committed';
"""


def is_current(catalog: Catalog) -> bool:
    """Return whether the ledger's tables exist in their newest form.

    Other parts may be missing, such as an index or trigger that somebody dropped. Reading the ledger does not need them, and
    `upgrade` adds them again.
    """
    return catalog.version == HEAD and all(
        table.name in catalog.own and table.columns.keys() <= catalog.own[table.name].columns.keys() for table in OWN
    )


def upgrade(
    connection: psycopg.Connection, catalog: Catalog, *, lock_timeout_ms: int = POLITE_MS, patience_seconds: float = 300
) -> list[str]:
    """Bring the schema up to date.

    Return a line for each change. Read the catalog again afterwards. Raises TryAgain if another session is doing the same for
    long or a lock is never free. Raises DatabaseRefused for missing rights, or a table that cannot be adopted.
    """
    patience = LockTimes(lock_timeout_ms, patience_seconds)
    try:
        with _lock_schema(connection, patience_seconds):
            fresh = read(connection, catalog.mapping)
            missing = list(statements(fresh))
            _rehearse(connection, fresh, [each.change for each in missing], patience)
            if fresh.version == HEAD:
                for statement in missing:
                    run(connection, statement, patience)
            else:
                _alembic({"connection": connection, "catalog": fresh, "patience": patience}, "head")
    except psycopg.Error as error:
        raise translate_error(error) from error
    return [statement.change for statement in missing]


def ddl(catalog: Catalog, *, lock_timeout_ms: int = POLITE_MS) -> str:
    """Return exactly the SQL that `upgrade` would run.

    Empty if there is none. It reads only the catalog.
    """
    if catalog.version == HEAD:
        scripts = [statement.script(lock_timeout_ms) for statement in statements(catalog)]
        return _HEADER + "\n" + "\n\n".join(scripts) + "\n" if scripts else ""
    attributes = {"catalog": catalog, "patience": LockTimes(lock_timeout_ms)}
    printed = _alembic(attributes, f"{catalog.version or 'base'}:head")
    # The version table comes first, and an attempt that stopped half-way leaves it behind, empty.
    return _HEADER + printed.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1)


def _rehearse(connection: psycopg.Connection, catalog: Catalog, changes: list[str], patience: LockTimes) -> None:
    """Try the usage triggers before anything is created.

    Raises DatabaseRefused with PostgreSQL's reason.
    """
    trial = usage.trial(catalog)
    if trial.change not in changes:
        return
    texts = [each.text for each in (*tables.statements(catalog), *usage.preparations(catalog), trial)]
    try:
        run_with_retries(
            connection,
            lambda: [connection.execute(sql.SQL(text)) for text in texts],
            trial.change,
            patience,
            keep=False,
        )
    except errors.InsufficientPrivilege:
        raise
    except _UNFIT as error:
        raise DatabaseRefused(
            f"the triggers that count documents would fail on {catalog.documents.name}: {error.diag.message_primary}",
            hint="nothing was changed; `rehouse init --sql` prints what was tried",
            subject=catalog.documents.name,
        ) from error


def _alembic(attributes: dict[str, object], revision: str) -> str:
    from alembic import command  # noqa: PLC0415 - slow to import, and most commands do without it
    from alembic.config import Config  # noqa: PLC0415
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    printed = io.StringIO()
    config = Config(output_buffer=printed, attributes=attributes)
    config.set_main_option("script_location", str(files("rehouse.ledger") / "schema").replace("%", "%%"))
    try:
        command.upgrade(config, revision, sql="connection" not in attributes)
    except DBAPIError as error:  # Alembic writes its own version table through SQLAlchemy
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from None
        raise
    return printed.getvalue()


@contextmanager
def _lock_schema(connection: psycopg.Connection, patience_seconds: float) -> Iterator[None]:
    until = time.monotonic() + patience_seconds
    while not _ask(connection, "SELECT pg_try_advisory_lock(%s)"):
        if time.monotonic() > until:
            raise TryAgain(
                "another session is changing the schema",
                hint="run the same command again when it is done",
                subject="database",
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = True
            _ask(connection, "SELECT pg_advisory_unlock(%s)")


def _ask(connection: psycopg.Connection, question: str) -> bool:
    row = connection.execute(question, (_ONE_INIT,)).fetchone()
    return bool(row and row[0])
