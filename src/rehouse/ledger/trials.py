"""Trials: change the home and a row as the cutover or a rollback will, in transactions that are rolled back.

Some effects of triggers cannot be rolled back: sequences that they advance, and what they do outside the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby

import psycopg

from rehouse.core.model import Fault
from rehouse.core.returns import DocumentAtHome, WayBack
from rehouse.core.row_refusals import KEPT, fault_of, is_passing
from rehouse.ledger.copies import Documents
from rehouse.ledger.late_writes import RowIsBusy
from rehouse.ledger.returns import document_at_home
from rehouse.ledger.row_refusals import RowsRefused, refusal_of


class Trials(Documents):
    """The trials of one tenant's cutover or rollback, in one run."""

    def candidates(self, limit: int, *, is_partitioned: bool) -> dict[str, list[str]]:
        """Return table or partition → ids of at most `limit` documents in it that have a copy."""
        if is_partitioned:
            rows = self.rows_of_whole("trial_candidates_of_partitions", limit=limit)
        else:
            rows = self.rows("trial_candidates", limit=limit)
        return {
            kind: [str(row.document_id) for row in group]
            for kind, group in groupby(rows, key=lambda row: str(row.kind))
        }

    def candidates_at_home(self, limit: int) -> list[tuple[str, DocumentAtHome]]:
        """Return (table or partition, document) of at most `limit` rows at home of each, without their objects."""
        return [(str(row.kind), document_at_home(row)) for row in self.rows_of_whole("return_candidates", limit=limit)]

    def switch(self, previous_home: str | None) -> Fault | None:
        """Try to switch the tenant's home; return the fault if the row refuses.

        It is not a fault here if the row names another bucket than before, because the switch itself reports that.
        """
        values = {**self.values, "previous_home": previous_home}
        try:
            with self._trial():
                switched = self.connection.execute(self.queries["switch_home"], values).rowcount
                return KEPT if self._is_kept(previous_home, switched) else None
        except RowsRefused as refused:
            return refused.fault

    def _is_kept(self, previous_home: str | None, switched: int) -> bool:
        [(is_home, is_as_before)] = self.rows("home_now", previous_home=previous_home) or [(False, False)]
        return not is_home and bool(switched or is_as_before)

    def try_flip(self, document_id: str, previous_home: str | None) -> Fault | None:
        """Try to switch the tenant's home and flip a document's row.

        Return the fault if a row refuses. Raises RowIsBusy if the row is locked, or changed since it was copied.
        """
        values = {**self.values, "document_id": document_id, "previous_home": previous_home}
        try:
            with self._trial():
                if not self.rows("lock_for_trial", document_id=document_id):
                    raise RowIsBusy
                self.connection.execute(self.queries["name_null_bucket_of"], values)
                self.connection.execute(self.queries["switch_home"], values)
                self.flip([document_id])
        except RowsRefused as refused:
            return refused.fault
        return None

    def give_back(self) -> Fault | None:
        """Try to switch the tenant's home back; return the fault if the row refuses.

        It is not a fault here if the row names another bucket than the home, because the rollback itself reports that.
        """
        try:
            with self._trial():
                self.connection.execute(self.queries["return_home"], self.values)
                [(is_home, is_as_before)] = self.rows("home_now") or [(False, False)]
                return KEPT if is_home and not is_as_before else None
        except RowsRefused as refused:
            return refused.fault

    def try_return(self, document_id: str, back: WayBack, *, is_switched: bool) -> Fault | None:
        """Try to flip a row at home back; return the fault if a row refuses.

        `is_switched`: the home is switched to the tenant's bucket, so try to switch it back first. Raises RowIsBusy if the row is
        locked, or no longer at home.
        """
        line = {"target_bucket": back.pointer.bucket, "target_key": back.pointer.key}
        line |= {"target_etag": back.etag, "source_etag": back.home_etag}
        try:
            with self._trial():
                if is_switched:
                    self.connection.execute(self.queries["return_home"], self.values)
                if not self.rows("line_to_try", document_id=document_id, **line):
                    raise RowIsBusy
                self.flip([document_id])
        except RowsRefused as refused:
            return refused.fault
        return None

    @contextmanager
    def _trial(self) -> Iterator[None]:
        """Open a transaction that is rolled back.

        Raises RowsRefused if PostgreSQL refuses a row or a statement.
        """
        try:
            with self.fence(undo=True):
                self.connection.execute(self.queries["check_at_once"])
                yield
        except psycopg.Error as error:
            refusal = refusal_of(error)
            if is_passing(refusal):
                raise
            raise RowsRefused(fault_of(refusal)) from error
