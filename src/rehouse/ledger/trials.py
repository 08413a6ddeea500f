"""Trials: the home switched and a row flipped as the cutover will do it, in transactions that are rolled back.

What cannot be rolled back stays: a sequence that a trigger advances, what a trigger does outside the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import psycopg

from rehouse.core.model import Fault
from rehouse.core.row_refusals import KEPT, fault_of, is_passing
from rehouse.ledger.documents import Documents
from rehouse.ledger.late_writes import RowIsBusy
from rehouse.ledger.row_refusals import RowsRefused, refusal_of


class Trials(Documents):
    """What may be tried of one tenant's cutover under one run."""

    def candidates(self, limit: int) -> dict[str, list[str]]:
        """Return, for each table or partition with copies of the tenant, the ids of at most `limit` of their documents."""
        with self.connection.transaction():
            self.connection.execute(self.queries["prepare_stream"])
            rows = self.rows("trial_candidates", limit=limit)
        return {kind: [str(row[1]) for row in group] for kind, group in groupby(rows, key=lambda row: str(row[0]))}

    def switch(self, previous_home: str | None) -> Fault | None:
        """Switch the tenant's home and take it back; return why it cannot be switched.

        A row that names another bucket than before is no refusal: the switch itself tells of that.
        """
        values = {**self.values, "previous_home": previous_home}
        try:
            with self._in_vain():
                switched = self.connection.execute(self.queries["switch_home"], values).rowcount
                return KEPT if self._is_kept(previous_home, switched) else None
        except RowsRefused as refused:
            return refused.fault

    def _is_kept(self, previous_home: str | None, switched: int) -> bool:
        [(is_home, is_as_before)] = self.rows("home_now", previous_home=previous_home) or [(False, False)]
        return not is_home and bool(switched or is_as_before)

    def flip_in_vain(self, document_id: str) -> Fault | None:
        """Flip a document's row and take it back; return why it cannot be flipped.

        Raises RowIsBusy, also where it is not as it was copied any more.
        """
        values = {**self.values, "document_id": document_id, "document_ids": [document_id]}
        try:
            with self._in_vain():
                if not self.rows("lock_for_trial", document_id=document_id):
                    raise RowIsBusy
                self.connection.execute(self.queries["name_null_bucket_of"], values)
                self.flip([document_id])
        except RowsRefused as refused:
            return refused.fault
        return None

    @contextmanager
    def _in_vain(self) -> Iterator[None]:
        """Hold a transaction that is rolled back; raise what it is refused, rows or statement, as RowsRefused."""
        try:
            with self.fenced(in_vain=True):
                self.connection.execute(self.queries["check_at_once"])
                yield
        except psycopg.Error as error:
            refusal = refusal_of(error)
            if is_passing(refusal):
                raise
            raise RowsRefused(fault_of(refusal)) from error
