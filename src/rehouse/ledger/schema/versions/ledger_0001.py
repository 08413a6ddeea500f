"""The first version of the ledger.

The newest revision adds everything that is missing, so this one does nothing.
"""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing; the newest revision does everything."""
