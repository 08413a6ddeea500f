"""What failed: the documents that a run with `--only-failed` looks at again."""

from __future__ import annotations

from rehouse.ledger.run_scope import Fenced


class Failures(Fenced):
    """The failed documents of one tenant's migration."""

    def ids(self, code: str | None = None) -> set[str]:
        """Return the ids of the documents that failed or are in quarantine (with this code), as far as they are not at home."""
        return {str(row[0]) for row in self.rows("failed_documents", code=code)}
