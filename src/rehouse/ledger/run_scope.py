"""The fence of a run: every writing transaction first checks the run's id, so a run that lost its migration stops."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import namedtuple_row

from rehouse.core.errors import Halt
from rehouse.core.model import CopyOutcome, Fault, Migration, ObjectRef
from rehouse.core.row_refusals import KEPT, ROW_REFUSED
from rehouse.ledger.queries import Queries
from rehouse.ledger.row_refusals import RowsRefused, change_accepting, translate_refusals
from rehouse.ledger.rows import Row, rows_of, rows_of_whole

TAKEN_OVER = "this migration now belongs to another run"
TAKEN_OVER_HINT = "another operator took it over; `rehouse status` shows what was done"


class RunScope:
    """The base of everything that reads and writes one tenant's migration in one run."""

    def __init__(
        self,
        connection: psycopg.Connection,
        queries: Queries,
        migration: Migration,
        *,
        run_id: str,
        default_bucket: str,
    ) -> None:
        self.connection = connection
        self.queries = queries
        self.values: dict[str, object] = {
            "tenant_id": migration.tenant_id,
            "run_id": run_id,
            "home_bucket": migration.home_bucket,
            "previous_home": migration.previous_home,
            "default_bucket": default_bucket,
            "row_refused": ROW_REFUSED,
        }

    @contextmanager
    def fence(self, *, undo: bool = False) -> Iterator[psycopg.Cursor]:
        """Open a transaction. Raises Halt if the migration belongs to another run now.

        `undo`: roll it back at its end.
        """
        with self.connection.transaction(force_rollback=undo), self.connection.cursor() as cursor:
            if cursor.execute(self.queries["fence"], self.values).fetchone() is None:
                raise Halt(TAKEN_OVER, hint=TAKEN_OVER_HINT)
            yield cursor

    def change_both(self, row: str, line: str, copied: CopyOutcome) -> Fault | None:
        """Run the query that changes a document's row after a copy, then the one that records it.

        Return the fault if the row refuses.
        """
        task = copied.task
        values = {
            **self.values,
            "document_id": task.document_id,
            "source_etag": task.source_etag,
            "source_size": task.size,
            "storage_class": task.storage_class,
            "target_bucket": task.target.bucket,
            "target_key": task.target.key,
            "target_etag": copied.etag,
            "version": copied.version,
            "checksum": copied.checksum,
            "attempts": copied.attempts,
        }

        def change(_: object) -> None:
            with translate_refusals():
                changed = self.connection.execute(self.queries[row], values).rowcount
                told = self.connection.execute(self.queries[line], values).rowcount
            if not (changed and told):
                raise RowsRefused(KEPT)

        refused = change_accepting(self.connection, [task.document_id], change).get(task.document_id)
        return refused.fault if refused else None

    def rows(self, name: str, **values: object) -> list[Row]:
        """Return the rows of a named query."""
        return rows_of(self.connection, self.queries[name], {**self.values, **values})

    def rows_of_whole(self, name: str, **values: object) -> list[Row]:
        """Return the rows of a named query that reads the whole tenant."""
        return rows_of_whole(self.connection, self.queries, name, {**self.values, **values})

    def next_rows(self, name: str, after: object, limit: int, **values: object) -> list[Row]:
        """Return the next rows of a named query after a document's id.

        The query is never prepared: the generic plan of a prepared statement does not know whether `after` is NULL, so it would
        read the tenant from the start for each page.
        """
        values = {**self.values, **values, "after": after, "limit": limit}
        return rows_of(self.connection, self.queries[name], values, prepare=False)

    def pages(self, name: str, limit: int, **values: object) -> Iterator[list[Row]]:
        """Yield the rows of a named query in pages of at most `limit`, in order of document id, each in its own transaction."""
        after: object = None
        while True:
            with self.connection.transaction():
                self.connection.execute(self.queries["prepare_page"])
                rows = self.next_rows(name, after, limit, **values)
            if rows:
                yield rows
            if len(rows) < limit:
                return
            after = rows[-1].document_id

    def find_pointed_at(self, refs: Collection[ObjectRef]) -> set[ObjectRef]:
        """Return those of the objects to which a row of any tenant points."""
        if not refs:
            return set()
        with self.connection.transaction():
            self.connection.execute(self.queries["prepare_pointers"])
            return self.find_pointed_at_once(refs)

    def find_pointed_at_once(self, refs: Collection[ObjectRef]) -> set[ObjectRef]:
        """Do the same in one round trip, under row locks, in a transaction that began with `prepare_batch`."""
        if not refs:
            return set()
        values = {
            **self.values,
            "buckets": sorted({ref.bucket for ref in refs}),
            "keys": sorted({ref.key for ref in refs}),
        }
        rows = rows_of(self.connection, self.queries["rows_at"], values, prepare=False)
        return {ref for row in rows if (ref := ObjectRef(row.bucket, row.key)) in refs}

    def stream(self, name: str) -> Iterator[Row]:
        """Yield the rows of a named query that reads a whole tenant, without keeping them or a transaction open.

        The server keeps the result (WITH HOLD) while the caller works, so vacuum is not held back.
        """
        with self.connection.cursor(name=f"rehouse_{name}", withhold=True, row_factory=namedtuple_row) as cursor:
            cursor.itersize = 2000
            with self.connection.transaction():
                self.connection.execute(self.queries["prepare_stream"])
                cursor.execute(self.queries[name], self.values)
            yield from cursor
