"""The first edition of the ledger. What it brought, the newest revision brings: statements are made from what is missing."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Do nothing: the newest revision does it all."""
