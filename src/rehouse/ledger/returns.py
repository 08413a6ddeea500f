"""The ledger's side of a rollback: pages of documents at home, the switch of the home, and later writes there.

The record of a return is reversed: its source is the object at home, its target is where the row will point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from rehouse.core.errors import Halt
from rehouse.core.late_writes import ReturnedDocument
from rehouse.core.model import CopyOutcome, Fault, ObjectRef
from rehouse.core.returns import DocumentAtHome
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.rows import THERE, Row, columns_of_copy, copy_record_of, document_of, object_of
from rehouse.ledger.run_scope import RunScope


class ReturnCounts(NamedTuple):
    """How many documents were returned, how many rows are at home, and how many of these have no ledger record."""

    returned: int
    at_home: int
    never_moved: int


class Returns(RunScope):
    """The returns of one tenant's documents, in one run."""

    def pages_at_home(self, limit: int) -> Iterator[list[DocumentAtHome]]:
        """Yield pages of at most `limit` documents whose rows point to the home, in order of id."""
        for rows in self.pages("page_at_home", limit):
            yield [document_at_home(row) for row in rows]

    def counts(self) -> ReturnCounts:
        """Return the progress of the rollback."""
        [found] = self.rows_of_whole("count_returns")
        return ReturnCounts(**found._asdict())

    def find_contested(self, refs: Collection[ObjectRef]) -> set[ObjectRef]:
        """Return those of the objects for which the tenant's records have different ETags.

        This reads the whole tenant.
        """
        rows = self.rows("known_differently", keys=sorted({ref.key for ref in refs})) if refs else []
        return {ref for row in rows if (ref := ObjectRef(row.bucket, row.key)) in refs}

    def supersede_forward(self) -> None:
        """Mark copies in the home that are not flipped as superseded, because no row will point to them."""
        with self.fence() as cursor:
            cursor.execute(self.queries["supersede_forward"], self.values)

    def give_up(self) -> None:
        """Give up an interrupted rollback before a new migration: keep at home what it had not returned."""
        with self.fence() as cursor:
            cursor.execute(self.queries["keep_at_home"], self.values)
            cursor.execute(self.queries["supersede_returns"], self.values)

    def return_home(self) -> None:
        """Switch the tenant's bucket back to the previous one.

        Raises Halt if its row does not name the home.
        """
        with self.fence() as cursor:
            if cursor.execute(self.queries["return_home"], self.values).fetchone() is None:
                raise Halt(
                    f"the tenant's row no longer names {self.values['home_bucket']}",
                    hint="somebody changed tenants.aws_bucket_name; correct it, then run the same command again",
                    subject=str(self.values["home_bucket"]),
                )

    def list_outstanding(self) -> list[Outstanding]:
        """Return the documents that could not be returned, in order of id."""
        return [Outstanding.from_row(row) for row in self.rows("outstanding_returns")]

    def late_writes(self) -> list[ReturnedDocument]:
        """Return the returned documents whose objects at home were written since, according to the run's inventory."""
        return [
            ReturnedDocument(**columns_of_copy(row), contested=row.contested, name=row.name, given_away=row.given_away)
            for row in self.rows_of_whole("late_writes_at_home")
        ]

    def record_late_write(self, outcome: CopyOutcome) -> Fault | None:
        """Record a later write that was copied back, in the ledger and the locked row.

        Return the fault if it refuses.
        """
        return self.change_both("follow_late_copy_from_home", "record_late_copy_from_home", outcome)


def document_at_home(row: Row) -> DocumentAtHome:
    """Return the document of a row of `page_at_home`."""
    return DocumentAtHome(
        document_of(row),
        object_of(row, row.key),
        copy_record_of(row),
        was_copied=bool(row.attempts),
        error_code=row.error_code,
        there=object_of(row, "", THERE),
    )
