"""Returns in the ledger: the pages of a tenant's documents at home, the home given back, and what was written there since.

A return is a line the other way round: its source is the object at home, its target where the row is to point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from rehouse.core.copies import Recorded
from rehouse.core.errors import Halt
from rehouse.core.lifecycle import DocumentState
from rehouse.core.model import CopyOutcome, Document, Fault, ListedObject, ObjectRef
from rehouse.core.returns import SeenAtHome
from rehouse.ledger.copies import Outstanding
from rehouse.ledger.run_scope import Fenced


class ReturnCounts(NamedTuple):
    """Documents that went back and their bytes; rows at home, and of these the ones that no line of the ledger is about."""

    returned: int
    returned_bytes: int
    at_home: int
    never_moved: int


class WrittenAfter(NamedTuple):
    """A document that went back, and whose object at home may have been written since.

    `contested`: another line of the tenant knows another object there; `given_away`: its row is another tenant's by now.
    """

    document_id: str
    name: str
    source: ObjectRef
    source_etag: str
    target: ObjectRef
    target_etag: str | None
    contested: bool
    given_away: bool


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
            after = rows[-1][0]

    def counts(self) -> ReturnCounts:
        """Return how far the return is."""
        return ReturnCounts(*(int(value) for value in self.rows("count_returns")[0]))

    def known_differently(self, refs: Collection[ObjectRef]) -> set[ObjectRef]:
        """Return which of these objects lines of the tenant know differently. It reads the whole tenant."""
        rows = self.rows("known_differently", keys=sorted({ref.key for ref in refs})) if refs else []
        return {ref for row in rows if (ref := ObjectRef(row[0], row[1])) in refs}

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
        return [
            Outstanding(str(row[0]), ObjectRef(row[1], row[2]), DocumentState(row[3]), *row[4:])
            for row in self.rows("outstanding_returns")
        ]

    def written_after(self) -> list[WrittenAfter]:
        """Return the documents that went back and were written at home since, as far as this run's inventory tells."""
        return [
            WrittenAfter(str(row[0]), row[1], ObjectRef(row[2], row[3]), row[4], ObjectRef(row[5], row[6]), *row[7:])
            for row in self.rows("written_after_return")
        ]

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


def seen_at_home(row: Sequence[Any]) -> SeenAtHome:
    """Read a row of `page_at_home`: the document (7 columns), the object at home (4), at the other end (4), the line (9)."""
    document_id, tenant_id, *fields = row[:7]
    document = Document(str(document_id), tenant_id if isinstance(tenant_id, int) else str(tenant_id), *fields)
    state, source_bucket, source_key, source_etag, target_bucket, target_key, target_etag, attempts, error_code = row[
        15:
    ]
    recorded = None
    if state is not None:
        target = ObjectRef(target_bucket, target_key) if target_key else None
        source = ObjectRef(source_bucket, source_key)
        recorded = Recorded(DocumentState(state), source, source_etag, target, target_etag)
    return SeenAtHome(
        document,
        _object(document.key or "", row[7:11]),
        recorded,
        was_copied=bool(attempts),
        error_code=error_code,
        there=_object("", row[11:15]),
    )


def _object(key: str, columns: Sequence[Any]) -> ListedObject | None:
    return ListedObject(key, *columns) if columns[0] is not None else None
