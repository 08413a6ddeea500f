"""Returns in the ledger: the pages of a tenant's documents at home, the home given back, and what was written there since.

A return is a line the other way round: its source is the object at home, its target where the row is to point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from rehouse.core.copies import Copied
from rehouse.core.errors import Halt
from rehouse.core.model import CopyOutcome, Fault, ObjectRef
from rehouse.core.returns import SeenAtHome
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.rows import THERE, Row, columns_of_copied, document_of, object_of, recorded_of
from rehouse.ledger.run_scope import Fenced


class ReturnCounts(NamedTuple):
    """Documents that went back; rows at home, and of these the ones that no line of the ledger is about."""

    returned: int
    at_home: int
    never_moved: int


@dataclass(frozen=True, slots=True)
class WrittenAfter(Copied):
    """A document that went back, and whose object at home may have been written since.

    `contested`: another line of the tenant knows another object there; `given_away`: its row is another tenant's by now.
    """

    name: str = field(kw_only=True)
    given_away: bool = field(kw_only=True)

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `written_after_return`."""
        return cls(**columns_of_copied(row), contested=row.contested, name=row.name, given_away=row.given_away)


class Returns(Fenced):
    """What a rollback reads and writes of one tenant's migration under one run."""

    def pages(self, limit: int) -> Iterator[list[SeenAtHome]]:
        """Yield the documents whose rows point into the home, in order of id, at most `limit` at a time."""
        after: object = None
        while True:
            with self.connection.transaction():
                self.connection.execute(self.queries["prepare_page"])
                rows = self.rows("page_at_home", after=after, limit=limit)
            if rows:
                yield [seen_at_home(row) for row in rows]
            if len(rows) < limit:
                return
            after = rows[-1].document_id

    def counts(self) -> ReturnCounts:
        """Return how far the return is."""
        [found] = self.rows("count_returns")
        return ReturnCounts(**found._asdict())

    def known_differently(self, refs: Collection[ObjectRef]) -> set[ObjectRef]:
        """Return which of these objects lines of the tenant know differently. It reads the whole tenant."""
        rows = self.rows("known_differently", keys=sorted({ref.key for ref in refs})) if refs else []
        return {ref for row in rows if (ref := ObjectRef(row.bucket, row.key)) in refs}

    def supersede_forward(self) -> None:
        """Mark the copies into the home that wait for the flip; nobody will point to them."""
        with self.fenced() as cursor:
            cursor.execute(self.queries["supersede_forward"], self.values)

    def give_up(self) -> None:
        """Leave at home what a rollback that was interrupted had not returned yet: the tenant migrates again."""
        with self.fenced() as cursor:
            cursor.execute(self.queries["keep_at_home"], self.values)
            cursor.execute(self.queries["supersede_returns"], self.values)

    def return_home(self) -> None:
        """Point the tenant's uploads to where they went before; raise Halt if they do not go to the home now."""
        with self.fenced() as cursor:
            if cursor.execute(self.queries["return_home"], self.values).fetchone() is None:
                raise Halt(
                    f"the tenant's row does not name {self.values['home_bucket']} any more",
                    hint="somebody changed tenants.aws_bucket_name; put it right before going on",
                )

    def outstanding(self) -> list[Outstanding]:
        """Return the documents that could not be returned, in order of id."""
        return [Outstanding.from_row(row) for row in self.rows("outstanding_returns")]

    def written_after(self) -> list[WrittenAfter]:
        """Return the documents that went back and were written at home since, as far as this run's inventory tells."""
        return [WrittenAfter.from_row(row) for row in self.rows("written_after_return")]

    def sent_after(self, outcome: CopyOutcome) -> Fault | None:
        """Write where the newer object is, into the line and the row, which is held; return why if the row refuses."""
        task = outcome.task
        values = {
            **self.values,
            "document_id": task.document_id,
            "source_etag": task.source_etag,
            "source_size": task.size,
            "storage_class": task.storage_class,
            "target_bucket": task.target.bucket,
            "target_key": task.target.key,
            "target_etag": outcome.etag,
            "version": outcome.version,
            "checksum": outcome.checksum,
            "attempts": outcome.attempts,
        }
        return self.change_both(task.document_id, "point_to_sent_after", "record_sent_after", values)


def seen_at_home(row: Row) -> SeenAtHome:
    """Read a row of `page_at_home`."""
    return SeenAtHome(
        document_of(row),
        object_of(row, row.key),
        recorded_of(row),
        was_copied=bool(row.attempts),
        error_code=row.error_code,
        there=object_of(row, "", THERE),
    )
