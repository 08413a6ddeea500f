"""Record when rehouse enabled the versioning of a tenant's home, by the database's clock."""

from __future__ import annotations

from rehouse.core.errors import Halt
from rehouse.ledger.run_scope import TAKEN_OVER, TAKEN_OVER_HINT, RunScope


class Versioning(RunScope):
    """The time when the versioning of one tenant's home was enabled."""

    def record_beginning(self) -> None:
        """Record that versioning is about to be enabled.

        Raises Halt if the migration belongs to another run now.
        """
        if not self.rows("expect_versioning"):
            raise Halt(TAKEN_OVER, hint=TAKEN_OVER_HINT)

    def record(self) -> None:
        """Record that versioning is enabled now; keep a time that is recorded already."""
        self.connection.execute(self.queries["record_versioning"], self.values)

    def versioned_for(self) -> float | None:
        """Return the seconds since versioning was enabled, None if the bucket had it before rehouse.

        It is negative if a run was killed before S3 confirmed that it had enabled versioning.
        """
        found = self.rows("versioned_for")
        return found[0].seconds if found else None
